//go:build browser

package site

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// The smallest phone that we think of, in CSS pixels.
const phoneWidth, phoneHeight = 360, 740

// look finds in a page what a reader with a phone would stumble over.
const look = `(() => {
	const width = document.documentElement.clientWidth, wide = [], small = [];
	const scrolls = e => { for (; e; e = e.parentElement) if (['auto', 'scroll'].includes(getComputedStyle(e).overflowX)) return true; return false; };
	const tell = e => e.tagName.toLowerCase() + ': ' + e.textContent.trim().slice(0, 60);
	for (const e of document.body.querySelectorAll('*')) {
		const box = e.getBoundingClientRect();
		if (box.width > 0 && box.right > width + 1 && !scrolls(e)) wide.push(tell(e));
	}
	for (const e of document.querySelectorAll('main p, main li, main td, main pre, main a, nav a, svg text')) {
		const box = e.getBoundingClientRect();
		if (box.width === 0) continue;
		const drawing = e.ownerSVGElement;
		const scale = drawing ? drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width : 1;
		if (parseFloat(getComputedStyle(e).fontSize) * scale < (drawing ? 9 : 12)) small.push(tell(e));
	}
	return {
		width: document.documentElement.scrollWidth,
		wide: wide.slice(0, 5), small: small.slice(0, 5),
		broken: [...document.images].filter(i => i.complete && i.naturalWidth === 0).map(i => i.src),
		styled: document.styleSheets.length === 1 && document.styleSheets[0].cssRules.length > 20,
		headings: document.querySelectorAll('h1').length,
		unnamed: [...document.querySelectorAll('svg[role=img]')].filter(s => !s.getAttribute('aria-label')).length,
		links: [...document.querySelectorAll('[href], [src]')].map(e => e.getAttribute('href') || e.getAttribute('src')),
		ids: [...document.querySelectorAll('[id]')].map(e => e.id),
	};
})()`

type seen struct {
	Width               int
	Wide, Small, Broken []string
	Styled              bool
	Headings, Unnamed   int
	Links, IDs          []string
}

func TestABrowserShowsEveryPageOnAPhoneAndFollowsItsLinks(t *testing.T) {
	folder, err := built()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(folder)))
	defer server.Close()
	browser := startChromium(t)
	browser.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": phoneWidth, "height": phoneHeight, "deviceScaleFactor": 2, "mobile": true}, nil)

	pages := map[string]page{}
	for _, name := range pageNames(t, folder) {
		browser.open(server.URL + "/" + filepath.ToSlash(name))
		var s seen
		if err := browser.evaluate(look, &s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		pages[name] = page{s.Links, s.IDs}
		if s.Width > phoneWidth || len(s.Wide) > 0 {
			t.Errorf("%s: %d pixels wide on a phone of %d: %q", name, s.Width, phoneWidth, s.Wide)
		}
		if len(s.Small) > 0 {
			t.Errorf("%s: too small to read on a phone: %q", name, s.Small)
		}
		if len(s.Broken) > 0 {
			t.Errorf("%s: pictures that do not show: %s", name, strings.Join(s.Broken, " "))
		}
		if !s.Styled || s.Headings != 1 || s.Unnamed > 0 {
			t.Errorf("%s: styled %t, %d first headings, %d drawings without words: want true, 1, 0", name, s.Styled, s.Headings, s.Unnamed)
		}
	}
	checkLinks(t, folder, pages)
}
