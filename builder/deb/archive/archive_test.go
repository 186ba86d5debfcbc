package archive_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/proa-os/proa/builder/deb/archive"
	"github.com/proa-os/proa/builder/deb/debtest"
)

func TestMembersAreFoundWhereTheyAre(t *testing.T) {
	file := debtest.Archive(debtest.Version(), debtest.Member{Name: "_odd", Body: []byte("123")},
		debtest.Member{Name: "control.tar.gz/", Body: []byte("con")}, debtest.Member{Name: "data.tar.zst", Body: []byte("data")})
	a, err := archive.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		member       archive.Member
		name, format string
		body         string
	}{{a.Control, "control.tar.gz", "gzip", "con"}, {a.Data, "data.tar.zst", "zstd", "data"}} {
		body, err := io.ReadAll(c.member.Open())
		if err != nil || c.member.Name != c.name || c.member.Format.String() != c.format || string(body) != c.body {
			t.Errorf("%q, %s, %q, %v: want %q, %s, %q", c.member.Name, c.member.Format, body, err, c.name, c.format, c.body)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(debtest.Package([]byte("data")))
	f.Add(debtest.Archive(debtest.Version(), debtest.Member{Name: "_odd", Body: []byte("123")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := archive.Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, m := range []archive.Member{a.Control, a.Data} {
			if body, err := io.ReadAll(m.Open()); err != nil || int64(len(body)) != m.Open().Size() {
				t.Errorf("member %q: %d bytes of %d, %v", m.Name, len(body), m.Open().Size(), err)
			}
		}
	})
}
