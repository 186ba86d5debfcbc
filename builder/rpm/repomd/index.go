package repomd

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/packages"
)

// index is what repomd.xml says.
type index struct {
	revision string
	records  map[string]record // by type: primary, filelists, modules …
}

// record is one list that repomd.xml names.
type record struct {
	url      string
	checksum packages.Checksum
	size     int64 // bytes of the file
	open     int64 // bytes of its content; 0 when that is not said
}

// These bound a repository; Fedora's biggest has 30 MB that expand to 200 MB,
// and 60 MB of files that expand to 800 MB.
const (
	maxPacked    = 1 << 30
	maxPrimary   = 1 << 30
	maxFilelists = 4 << 30
	maxModules   = 256 << 20
	maxRecords   = 256
)

// wanted are the records that are looked at. The others may be of kinds and
// places that are not known here.
func wanted(kind string) bool { return kind == "primary" || kind == "filelists" || kind == "modules" }

func parseIndex(data []byte, base string) (index, error) {
	x := index{records: map[string]record{}}
	s := newScanner(bytes.NewReader(data))
	var kind string
	var algorithm string
	var now record
	for count := 0; ; {
		start, err := s.next()
		if err == io.EOF {
			return x, nil
		}
		if err != nil {
			return x, err
		}
		name := string(s.name)
		switch {
		case s.depth == 1 && name != "repomd":
			return x, fmt.Errorf("<%.50s>: want a repomd", name)
		case start && s.depth == 2:
			now, algorithm = record{}, ""
			value, _ := s.attr("type")
			kind = string(value)
			if count++; count > maxRecords {
				return x, fmt.Errorf("more than %d records", maxRecords)
			}
		case start && s.depth == 3:
			err = now.start(s, base, &algorithm, wanted(kind))
		case !start && s.depth == 3 && name != "location":
			err = now.field(name, s.raw, algorithm, wanted(kind))
		case !start && s.depth == 2 && name == "revision":
			x.revision, err = revision(s.raw)
		case !start && s.depth == 2 && name == "data" && wanted(kind):
			if _, twice := x.records[kind]; twice {
				return x, fmt.Errorf("%s is there twice", kind)
			}
			err = now.check()
			x.records[kind] = now
		}
		if err != nil {
			return x, fmt.Errorf("%.50s: %w", kind, err)
		}
	}
}

// start reads the attributes of a part of a record.
func (r *record) start(s *scanner, base string, algorithm *string, wanted bool) error {
	switch {
	case !wanted:
		return nil
	case string(s.name) == "checksum":
		value, _ := s.attr("type")
		*algorithm = string(value)
	case string(s.name) == "location":
		at, err := location(s, base)
		r.url = at
		return err
	}
	return nil
}

// field reads the text of a part of a record.
func (r *record) field(name string, raw []byte, algorithm string, wanted bool) (err error) {
	if !wanted {
		return nil
	}
	if name == "checksum" && r.checksum != "" || name == "size" && r.size != 0 || name == "open-size" && r.open != 0 {
		return fmt.Errorf("%s is there twice", name)
	}
	switch name {
	case "checksum":
		r.checksum, err = checksum(algorithm, raw)
	case "size":
		r.size, err = size(raw)
	case "open-size":
		r.open, err = size(raw)
	}
	return err
}

func (r *record) check() error {
	switch {
	case r.checksum == "":
		return errors.New("it has no checksum")
	case r.url == "":
		return errors.New("it has no location")
	case r.size <= 0 || r.size > maxPacked:
		return fmt.Errorf("size %d: want 1 to %d bytes", r.size, maxPacked)
	}
	return nil
}

// location is where a start of that name points to.
func location(s *scanner, base string) (string, error) {
	if at, ok := s.attr("xml:base"); ok {
		return "", fmt.Errorf("location in another place, xml:base %.200q: want a path below the repository", at)
	}
	raw, _ := s.attr("href")
	href, err := decode(raw)
	if err != nil {
		return "", err
	}
	return below(base, href)
}

func revision(raw []byte) (string, error) {
	text, err := decode(raw)
	if len(text) > 256 || strings.ContainsFunc(text, isControl) {
		return "", fmt.Errorf("revision %.100q: want at most 256 bytes, without control characters", text)
	}
	return text, err
}

func checksum(algorithm string, raw []byte) (packages.Checksum, error) {
	lengths := map[string]int{"sha256": 32, "sha512": 64}
	want, ok := lengths[algorithm]
	if !ok {
		return "", fmt.Errorf("checksum of the type %.50q: want sha256 or sha512", algorithm)
	}
	digits := string(bytes.Trim(raw, blanks))
	if sum, err := hex.DecodeString(digits); err != nil || len(sum) != want || strings.ToLower(digits) != digits {
		return "", fmt.Errorf("checksum %.150q: want %d lower-case hex digits", digits, 2*want)
	}
	return packages.Checksum(algorithm + ":" + digits), nil
}

func size(raw []byte) (int64, error) {
	n, err := strconv.ParseInt(string(bytes.Trim(raw, blanks)), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("size %.50q: want a number of bytes", raw)
	}
	return n, nil
}

// read fetches a list and gives its content to parse. It must expand to as many
// bytes as the record says, at most to most.
func read(ctx context.Context, fetcher packages.Fetcher, r record, most int64, parse func(io.Reader) error) error {
	if r.open > most {
		return fmt.Errorf("%s: %d bytes: want at most %d", r.url, r.open, most)
	}
	if r.open > 0 {
		most = r.open
	}
	path, _, err := fetcher.File(ctx, r.url, r.size, r.checksum)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	expanded, err := content.Expand(ctx, file, content.Limits{Expanded: most, Ratio: 1000, Free: 256 << 20})
	if err != nil {
		return fmt.Errorf("%s: %w", r.url, err)
	}
	defer expanded.Close()
	counted := &counter{r: expanded}
	if err := parse(counted); err != nil {
		return fmt.Errorf("%s: %w", r.url, err)
	}
	if r.open > 0 && counted.n != r.open {
		return fmt.Errorf("%s: %d bytes when expanded: want %d", r.url, counted.n, r.open)
	}
	return nil
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
