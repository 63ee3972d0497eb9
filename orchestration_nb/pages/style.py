"""The look of every display: the colours of JupyterLab's theme where there is one, quiet ones of its own elsewhere."""

from __future__ import annotations

CSS = """
.onb{--t1:var(--jp-ui-font-color1,inherit);--t2:var(--jp-ui-font-color2,#767676);
--line:var(--jp-border-color2,rgba(128,128,128,.35));--soft:var(--jp-layout-color2,rgba(128,128,128,.12));
--ok:var(--jp-success-color1,#388e3c);--bad:var(--jp-error-color1,#d32f2f);--warn:var(--jp-warn-color1,#f57c00);
--go:var(--jp-brand-color1,#1976d2);color:var(--t1);font-size:var(--jp-ui-font-size1,13px);line-height:1.5;
font-family:var(--jp-ui-font-family,system-ui,sans-serif);max-width:100%}
.onb *{box-sizing:border-box}
.onb .head{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 10px;padding:2px 0}
.onb .name{font-weight:600}
.onb .push{margin-left:auto}
.onb .dim,.onb .foot{color:var(--t2)}
.onb .chip{border:1px solid currentColor;border-radius:9px;padding:0 8px;font-size:.85em;white-space:nowrap}
.onb .ok,.onb .done{color:var(--ok)}.onb .failed{color:var(--bad)}.onb .running{color:var(--go)}
.onb .degraded,.onb .cancelled,.onb .paused,.onb .sim{color:var(--warn)}.onb .skipped{color:var(--t2)}
.onb .bar{display:flex;height:8px;border-radius:4px;overflow:hidden;background:var(--soft);margin:4px 0}
.onb .bar i{display:block;height:100%}.onb .bar .g{background:var(--ok)}.onb .bar .r{background:var(--bad)}
.onb .bar .o{background:var(--warn)}.onb .bar .b{background:var(--go);opacity:.45}
.onb .scroll{overflow-x:auto;margin:6px 0}
.onb table.t{border-collapse:collapse;border:none;margin:0;font-size:.95em;table-layout:auto;width:auto}
.onb table.t th,.onb table.t td{text-align:left;vertical-align:top;padding:4px 8px;border:none;
border-bottom:1px solid var(--line);background:none;white-space:normal;overflow-wrap:break-word}
.onb table.t th{color:var(--t2);font-weight:600}
.onb table.t tbody tr:hover td{background:var(--soft)}
.onb table.t .number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.onb table.t .narrow{max-width:170px}.onb table.t .some{max-width:250px}.onb table.t .wide{max-width:620px}
.onb table.t .some details{min-width:170px}.onb table.t .narrow details{min-width:130px}
.onb table.t details summary{cursor:pointer}
.onb table.t details[open] div{white-space:pre-wrap;max-height:260px;overflow:auto;margin-top:4px}
.onb .part{margin:8px 0 2px}
.onb .part>summary{cursor:pointer;color:var(--t2);font-weight:600}
.onb code{font-family:var(--jp-code-font-family,monospace);font-size:.92em;color:inherit;background:none;padding:0;
white-space:pre-wrap;overflow-wrap:anywhere}
.onb .story{margin:2px 0;padding-left:18px;color:var(--t2)}.onb .story li{margin:0}
.onb svg.cost{max-width:100%;height:auto;font-size:12px}
.onb svg.cost text{fill:var(--t1)}.onb svg.cost .dim{fill:var(--t2)}.onb svg.cost .whole{font-weight:600}
.onb svg.cost line{stroke:var(--go);stroke-width:5;stroke-opacity:.35;stroke-linecap:round}
.onb svg.cost circle{fill:var(--go)}.onb svg.cost .was{stroke:var(--ok);stroke-width:3}
.onb svg.cost .most{stroke:var(--bad);stroke-width:2;stroke-dasharray:4 3}
.onb .line{color:var(--bad);padding:2px 0}
"""
