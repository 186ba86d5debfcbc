// Package site has no code of its own: its folder turns the documentation into a
// site, and its tests hold that no link leads nowhere. With the tag browser they look
// at each page in Chromium, too: 'make site'.
package site
