const $ = id => document.getElementById(id);

function show(spec, key) {
  const ui = SwaggerUIBundle({
    spec,
    domNode: $("api"),
    deepLinking: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    defaultModelExpandDepth: 2,
    defaultModelsExpandDepth: 0, // the schemas of all answers are listed, and closed
    validatorUrl: null, // Swagger UI's validator is on another host
    onComplete: () => key && ui.preauthorizeApiKey("bearer", key),
  });
}

async function load() {
  const key = $("key").value;
  const answer = await fetch("openapi.json", { headers: key ? { authorization: `Bearer ${key}` } : {} });
  const json = await answer.json();
  $("enter").hidden = answer.ok;
  $("state").textContent = answer.ok || (answer.status === 401 && !key) ? "" : json.error.message;
  if (answer.ok) show(json, key);
}

function start() {
  load().catch(error => { $("state").textContent = `The API can't be read: ${error.message}`; });
}

$("enter").onsubmit = event => { event.preventDefault(); start(); };
start();
