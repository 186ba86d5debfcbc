package repomd_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/rpm/repomd"
)

func TestARepositoryThatLiesIsRefused(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		harm func(t *testing.T, r *repository)
		kind error  // that errors.Is finds
		text string // that the error has
	}{
		"nothing wrong":   {func(*testing.T, *repository) {}, nil, ""},
		"unsigned":        {func(t *testing.T, r *repository) { os.Remove(r.path("repodata/repomd.xml.asc")) }, openpgp.ErrUnsigned, "there is no repodata/repomd.xml.asc"},
		"empty signature": {func(t *testing.T, r *repository) { write(t, r.path("repodata/repomd.xml.asc"), nil) }, openpgp.ErrUnsigned, ""},
		"other key":       {func(t *testing.T, r *repository) { r.sign("other") }, openpgp.ErrUnknownKey, ""},
		"expired key":     {func(t *testing.T, r *repository) { r.sign("old", "--faked-system-time", "20200201T000000!") }, openpgp.ErrExpired, ""},
		"other repomd": {func(t *testing.T, r *repository) {
			data, _ := os.ReadFile(r.path("repodata/repomd.xml"))
			write(t, r.path("repodata/repomd.xml"), bytes.Replace(data, []byte("<revision>"), []byte("<revision>1"), 1))
		}, openpgp.ErrBadSignature, ""},
		"no repomd": {func(t *testing.T, r *repository) { os.Remove(r.path("repodata/repomd.xml")) }, os.ErrNotExist, "repodata/repomd.xml"},
		"primary of another time": {func(t *testing.T, r *repository) {
			data, _ := os.ReadFile(r.list("primary"))
			write(t, r.list("primary"), append(data[:len(data)-9], "123456789"...))
		}, nil, "-primary.xml.gz"},
		"primary cut":       {func(t *testing.T, r *repository) { os.Truncate(r.list("primary"), 100) }, nil, "-primary.xml.gz"},
		"no primary":        {func(t *testing.T, r *repository) { os.Remove(r.list("primary")) }, os.ErrNotExist, "-primary.xml.gz"},
		"weak checksums":    {func(t *testing.T, r *repository) { r.edit(`type="sha256"`, `type="sha"`) }, nil, "want sha256 or sha512"},
		"no primary record": {func(t *testing.T, r *repository) { r.edit(`type="primary"`, `type="secondary"`) }, nil, "names no primary"},
		"records twice":     {func(t *testing.T, r *repository) { r.edit(`type="filelists"`, `type="primary"`) }, nil, "twice"},
		"list outside":      {func(t *testing.T, r *repository) { r.edit(`href="repodata/`, `href="../repodata/`) }, nil, "below the repository"},
		"list elsewhere":    {func(t *testing.T, r *repository) { r.edit(`href="repodata/`, `href="https://evil.test/`) }, nil, "location"},
		"base elsewhere": {func(t *testing.T, r *repository) {
			r.edit(`<location href`, `<location xml:base="http://evil.test/" href`)
		}, nil, "xml:base"},
		"other expanded size": {func(t *testing.T, r *repository) { r.edit("<open-size>", "<open-size>1") }, nil, "when expanded: want"},
		"smaller expanded":    {func(t *testing.T, r *repository) { r.edit("<open-size>", "<open-size>1</open-size><open-size>") }, nil, "twice"},
		"huge":                {func(t *testing.T, r *repository) { r.edit("<open-size>", "<open-size>100000000") }, nil, "want at most"},
		"entities": {func(t *testing.T, r *repository) {
			r.edit("<repomd ", `<!DOCTYPE repomd [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><repomd `)
		}, nil, "declaration"},
		"not XML": {func(t *testing.T, r *repository) {
			write(t, r.path("repodata/repomd.xml"), []byte("<html>"))
			r.sign("trusted")
		}, nil, "want a repomd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			c.harm(t, r)
			got, err := r.load()
			if name == "nothing wrong" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), base) || !strings.Contains(err.Error(), c.text) || c.kind != nil && !errors.Is(err, c.kind) || len(got.Packages) > 0 {
				t.Errorf("%d packages, %v: want an error with %s, %q and %v", len(got.Packages), err, base, c.text, c.kind)
			}
		})
	}
}

func TestUnsignedMetadataIsForThoseWhoAskForIt(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	if err := os.Remove(r.path("repodata/repomd.xml.asc")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.load(func(c *repomd.Config) { c.UnsignedMetadata, c.Keys = true, nil }); err != nil {
		t.Error(err)
	}
	if _, err := r.load(func(c *repomd.Config) { c.Keys = nil }); err == nil || !strings.Contains(err.Error(), "no keys") {
		t.Errorf("no keys: %v: want an error", err)
	}
}
