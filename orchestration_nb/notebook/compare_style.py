"""The look of a comparison: its table, its items, and what of it a page or a notebook hides."""

from __future__ import annotations

from typing import Final

TABLE: Final = """
.onb table.cmp td,.onb table.cmp th{padding:3px 7px}
.onb table.cmp th{white-space:normal;vertical-align:bottom}
.onb table.cmp .group td{color:var(--t2);font-weight:600;padding-top:9px}
.onb table.cmp td.name,.onb table.cmp th.name{max-width:210px;overflow:hidden;text-overflow:ellipsis}
.onb table.cmp td.name{white-space:nowrap;font-weight:400}
.onb table.cmp .strategy td.name{font-weight:600}
.onb table.cmp .said{white-space:nowrap}.onb table.cmp .models{min-width:130px;max-width:240px}
.onb table.between{margin-top:8px}
.onb table.between caption{caption-side:top;text-align:left;color:var(--t2);font-weight:600;padding:0 7px 2px}
.onb table.between .note td{color:var(--t2);white-space:normal}
.onb ul.told{margin:4px 0;padding-left:18px}.onb ul.told li{margin:3px 0;max-width:110em}
"""
ITEMS: Final = """
.onb-items .head{align-items:center;gap:4px 14px}
.onb-items .pick{color:var(--t2)}
.onb-items select,.onb-items button{font:inherit;color:var(--t1);background:var(--soft);border:1px solid var(--line);
border-radius:4px;padding:2px 6px;max-width:240px}
.onb-items select option{color:#111;background:#fff}
.onb-items button{cursor:pointer;padding:3px 10px}
.onb-items :focus-visible{outline:2px solid var(--go);outline-offset:1px}
.onb-items .panes{display:grid;grid-template-columns:minmax(220px,32%) 1fr;gap:12px;margin:6px 0}
.onb-items .list{list-style:none;margin:0;padding:0;height:400px;overflow:auto;border:1px solid var(--line);
border-radius:4px}
.onb-items .row{display:flex;gap:8px;padding:3px 8px;cursor:pointer;border-bottom:1px solid var(--soft);
align-items:baseline}
.onb-items .row>*{white-space:nowrap}
.onb-items .row .number{color:var(--t2);min-width:2.5em;text-align:right;font-variant-numeric:tabular-nums}
.onb-items .row .scores{font-variant-numeric:tabular-nums}
.onb-items .row .title{overflow:hidden;text-overflow:ellipsis;flex:1}
.onb-items .row:hover{background:var(--soft)}
.onb-items .row[aria-selected=true]{background:var(--soft);box-shadow:inset 3px 0 var(--go);font-weight:600}
.onb-items .detail{height:400px;overflow:auto;min-width:0}
.onb-items .pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:10px;margin:6px 0}
.onb-items .card{border:1px solid var(--line);border-radius:4px;padding:6px 9px;min-width:0}
.onb-items .block{margin:4px 0}.onb-items .label,.onb-items .score{color:var(--t2);font-size:.92em}
.onb-items .text{white-space:pre-wrap;overflow-wrap:anywhere;max-height:170px;overflow:auto}
.onb-items .marks{display:flex;flex-wrap:wrap;gap:6px 8px;align-items:center}
.onb-items .said{min-height:1.5em}
@media (max-width:760px){.onb-items .panes{grid-template-columns:1fr}.onb-items .list{height:180px}}
"""
SAVED: Final = """
.jp-OutputArea-child:has(.onb-live)~.jp-OutputArea-child:has(.onb-saved),
.jp-OutputArea-child:has(.onb-live)~.jp-OutputArea-child:has(.onb-saved)+.jp-OutputArea-child:has(.js-plotly-plot)
{display:none}
"""
"""Where the dashboard lives, the output that was saved for those who have no kernel says the same again."""
