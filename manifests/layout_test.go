package manifests

import (
	"strings"
	"testing"
)

const goodLayout = `{"schema": 1, "seed": "gateway", "esp": 268435456, "root": 1073741824, "verity": 8650752, "var": 1073741824}`

func TestLayoutIsRead(t *testing.T) {
	want := Layout{1, "gateway", 256 << 20, 1 << 30, 8650752, 1 << 30}
	if got, err := ParseLayout([]byte(goodLayout)); err != nil || got != want {
		t.Errorf("%+v, %v: want %+v", got, err, want)
	}
}

func TestLayoutRefusesWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"schema": 1`, `"schema": 2`, "schema 2"},
		{`"gateway"`, `""`, "seed"},
		{`"gateway"`, `"` + strings.Repeat("x", 257) + `"`, "seed"},
		{`"esp": 268435456`, `"esp": 0`, "size"},
		{`"root": 1073741824`, `"root": -1`, "size"},
		{`"verity": 8650752`, `"verity": 562949953421313`, "size"},
		{`, "var": 1073741824`, ``, "var is missing"},
		{`"var": 1073741824`, `"var": 1073741824, "home": 1`, "home"},
	} {
		text := strings.Replace(goodLayout, c.old, c.new, 1)
		if text == goodLayout {
			t.Fatalf("%q is not in the document", c.old)
		}
		if _, err := ParseLayout([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s in place of %s: %v: want %q", c.new, c.old, err, c.want)
		}
	}
}

func FuzzParseLayout(f *testing.F) { fuzzParser(f, goodLayout, ParseLayout) }
