"""Strings of every script, and such as mean something elsewhere: each is an id like any other."""

UNUSUAL_IDS = {
    "latin": "Ünïcödé",
    "arabic, right to left": "مرحبا بالعالم",
    "hebrew and latin": "שלום abc",
    "chinese": "推荐系统",
    "hindi": "नमस्ते",
    "combining": "e\u0301\u0302\u0303\u0304",
    "emoji of five code points": "👩\u200d👩\u200d👧\u200d👦",
    "control": "a\u0000b\tc\u007f",
    "path": "../../etc/passwd",
    "key": "gen:x:users:0",
    "percent": "%00%2f",
    "quotes": "\"'\\<script>",
    "line break": "ann\nb",
    "line break at the end": "ann\n",
    "dots": "..",
    "longest": "x" * 256,
}
