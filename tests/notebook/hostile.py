"""What a hostile model, prompt, column, tag or error might say: all tries to set ``window.owned``, or to fetch."""

from __future__ import annotations

DO = "window.owned=1"
AWAY = "http://127.0.0.1:9/owned"

PAYLOADS = (
    f"<script>{DO}</script>",
    f'"><img src=x onerror="{DO}">',
    f"<svg onload='{DO}'><circle r=5></svg>",
    f"</script><script>{DO}</script>",
    f'{{"a": "</script><script>{DO}</script>"}}',
    f"![a picture]({AWAY}.png)",
    f"[a link](javascript:{DO})",
    f"<a href='javascript:{DO}' autofocus onfocus='{DO}'>a link</a>",
    f'<iframe srcdoc="<script>parent.{DO[7:]}</script>" src={AWAY}></iframe>',
    f"<details open ontoggle='{DO}'>open</details>",
    f"' onmouseover='{DO}' x='",
    f'" autofocus onfocus="{DO}" tabindex="1',
    f"<style>@import url({AWAY}.css);</style>",
    f"$\\href{{javascript:{DO}}}{{formula}}$ and $$\\unicode{{x3c}}img src=x onerror={DO}\\unicode{{x3e}}$$",
    f"\\(\\require{{html}}\\style{{background:url({AWAY}.png)}}{{formula}}\\)",
    f"<b>hover</b><br><a href=\"javascript:{DO}\">plotly</a><extra><img src='{AWAY}.gif'></extra>",
    f"--><script>{DO}</script><!--",
    f"]]></title></textarea></style></svg><img src={AWAY}.jpg onerror={DO}>",
    f"<body onload={DO}><form action=javascript:{DO}><input type=image src={AWAY} onerror={DO}>",
    f"<link rel=stylesheet href={AWAY}><meta http-equiv=refresh content='0;url={AWAY}'><base href={AWAY}>",
    f"<object data='javascript:{DO}'></object><embed src={AWAY}><video><source onerror={DO} src={AWAY}></video>",
    f"{{{{constructor.constructor('{DO}')()}}}} ${{{DO}}} <%= {DO} %>",
    f"\x1b]8;;{AWAY}\x07a terminal's link\x1b]8;;\x07\x1b]0;title\x07\x1b[2J",
    f"<math><mtext><table><mglyph><style><img title='</style><img src=x onerror={DO}>'></table></mtext></math>",
)
