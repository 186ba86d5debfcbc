package openpgp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/openpgp/pgptest"
)

// gpg is a GnuPG home with keys of its own.
type gpg struct {
	t    testing.TB
	home string
}

func newGPG(t testing.TB) gpg {
	t.Helper()
	return gpg{t, pgptest.Home(t)}
}

// made is when keys are made; signed, when documents are signed.
var (
	made   = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	signed = made.AddDate(0, 1, 0)
)

func (g gpg) run(at time.Time, stdin string, args ...string) []byte {
	g.t.Helper()
	args = append([]string{"--trust-model", "always", "--faked-system-time", at.Format("20060102T150405!")}, args...)
	return pgptest.Run(g.t, g.home, stdin, args...)
}

// key makes a key that certifies and signs.
func (g gpg) key(name, algorithm, expire string) string {
	g.t.Helper()
	g.run(made, "", "--quick-generate-key", name, algorithm, "sign", expire)
	return g.fingerprint(name)
}

func (g gpg) fingerprint(name string) string {
	g.t.Helper()
	for line := range strings.Lines(string(g.run(signed, "", "--with-colons", "--list-keys", name))) {
		if f := strings.Split(line, ":"); f[0] == "fpr" {
			return f[9]
		}
	}
	g.t.Fatalf("no key of %s", name)
	return ""
}

func (g gpg) export(names ...string) []byte {
	g.t.Helper()
	return g.run(signed, "", append([]string{"--export"}, names...)...)
}

func (g gpg) keyring(names ...string) *openpgp.Keyring {
	g.t.Helper()
	k, err := openpgp.Parse(g.export(names...))
	if err != nil {
		g.t.Fatal(err)
	}
	return k
}

func (g gpg) detach(name, text string, args ...string) []byte {
	g.t.Helper()
	return g.run(signed, text, append([]string{"--local-user", name, "--detach-sign"}, args...)...)
}

func (g gpg) clear(name, text string, args ...string) []byte {
	g.t.Helper()
	return g.run(signed, text, append([]string{"--local-user", name, "--clear-sign"}, args...)...)
}
