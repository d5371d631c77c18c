"""Unusual ids of users and items for tests: text of many scripts, and text that is a path, a key or markup elsewhere.

The service must treat each like any other id.
"""

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
