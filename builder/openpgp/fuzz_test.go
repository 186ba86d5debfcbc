package openpgp_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/openpgp"
)

func FuzzVerify(f *testing.F) {
	g := newGPG(f)
	g.key("a", "ed25519", "never")
	g.key("b", "rsa2048", "never")
	k := g.keyring("a", "b")
	f.Add(g.detach("a", text), []byte(text))
	f.Add(g.detach("b", text, "--armor"), []byte(text))
	f.Add(g.clear("a", text), []byte(text))
	f.Fuzz(func(t *testing.T, data, content []byte) {
		if _, err := k.VerifyDetached(bytes.NewReader(content), data, signed); err == nil && string(content) != text {
			// Signatures of texts do not see how lines end.
			if strings.ReplaceAll(string(content), "\r\n", "\n") != text {
				t.Errorf("%q is taken for signed", content)
			}
		}
		clear, _, err := k.VerifyInline(data, signed)
		if want := strings.ReplaceAll(text, "dashed  ", "dashed"); err == nil && string(clear) != want {
			t.Errorf("%q is taken for signed", clear)
		}
		if err != nil && clear != nil {
			t.Error(fmt.Errorf("content in spite of %w", err))
		}
	})
}

func FuzzParse(f *testing.F) {
	g := newGPG(f)
	g.key("a", "ed25519", "never")
	f.Add(g.export("a"))
	f.Add(g.run(signed, "", "--armor", "--export", "a"))
	signature := g.detach("a", text)
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := openpgp.Parse(data)
		if err != nil {
			return
		}
		again, err := openpgp.Parse(data)
		if err != nil || again.Digest() != k.Digest() {
			t.Errorf("twice the same bytes: %v", err)
		}
		_, first := verify(k, signature, time.Time{})
		_, second := verify(again, signature, time.Time{})
		if fmt.Sprint(first) != fmt.Sprint(second) {
			t.Errorf("twice the same bytes: %v and %v", first, second)
		}
	})
}
