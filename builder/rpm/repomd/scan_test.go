package repomd

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// ours lists what the scanner finds; theirs, what encoding/xml finds.
func ours(r io.Reader) (found []string, err error) {
	s := newScanner(r)
	for {
		start, err := s.next()
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		if !start {
			text, err := decode(s.raw)
			if err != nil {
				return found, err
			}
			found = append(found, fmt.Sprintf("%d /%s %q", s.depth, s.name, text))
			continue
		}
		line := fmt.Sprintf("%d %s", s.depth, s.name)
		for _, a := range s.attrs {
			value, err := decode(a.value)
			if err != nil {
				return found, err
			}
			line += fmt.Sprintf(" %s=%q", local(a.name), value)
		}
		found = append(found, line)
	}
}

func theirs(r io.Reader) (found []string, err error) {
	d := xml.NewDecoder(r)
	depth, text := 0, ""
	for {
		token, err := d.Token()
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			text = ""
			line := fmt.Sprintf("%d %s", depth, token.Name.Local)
			for _, a := range token.Attr {
				line += fmt.Sprintf(" %s=%q", a.Name.Local, a.Value)
			}
			found = append(found, line)
		case xml.EndElement:
			found = append(found, fmt.Sprintf("%d /%s %q", depth, token.Name.Local, text))
			depth--
			text = ""
		case xml.CharData:
			text += string(token)
		}
	}
}

func TestTheScannerSeesWhatEncodingXMLSees(t *testing.T) {
	for _, document := range []string{
		`<?xml version="1.0" encoding="UTF-8"?><!-- by hand --><a b="1" c='2'><d/><e >x &amp; y &#65;&#x42;</e></a>` + "\n<!-- end -->\n",
		"<a>" + strings.Repeat(`<x:b n="v>alue">text</x:b> `, 20_000) + "</a>",
		"<a>" + strings.Repeat("t", 900_000) + "</a>",
	} {
		got, err := ours(iotest.HalfReader(strings.NewReader(document)))
		want, err2 := theirs(strings.NewReader(document))
		if err != nil || err2 != nil || !slices.Equal(got, want) {
			t.Errorf("%.100s: %.300v, %v: want %.300v, %v", document, got, err, want, err2)
		}
	}
}

func TestTheScannerRefuses(t *testing.T) {
	broken := errors.New("broken")
	for want, r := range map[string]io.Reader{
		"unexpected EOF":            strings.NewReader("<a><b></b>"),
		"a declaration":             strings.NewReader(`<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>`),
		"CDATA":                     strings.NewReader(`<a><![CDATA[x]]></a>`),
		"&b":                        strings.NewReader(`<a>&b;</a>`),
		"&":                         strings.NewReader(`<a>&</a>`),
		"&#0":                       strings.NewReader(`<a>&#0;</a>`),
		"closes what is not open":   strings.NewReader(`<a></b>`),
		"behind the root":           strings.NewReader(`<a/><a/>`),
		"in each other":             strings.NewReader(strings.Repeat("<a>", 18)),
		"side by side":              strings.NewReader(`<a>x<b/></a>`),
		"within text":               strings.NewReader(`<a>x<!-- --></a>`),
		"is there twice":            strings.NewReader(`<a b="" b=""/>`),
		"run together":              strings.NewReader(`<a b=""c=""/>`),
		"with values":               strings.NewReader(`<a b/>`),
		"quoted values":             strings.NewReader(`<a b=c />`),
		"a < within an attribute":   strings.NewReader(`<a b="<"/>`),
		"a < within a tag":          strings.NewReader(`<a <b/>`),
		"without a name":            strings.NewReader(`<></a>`),
		"not UTF-8":                 strings.NewReader("<a>\xff</a>"),
		"more than 32":              strings.NewReader("<a" + fmt.Sprintf(strings.Repeat(` b%d=""`, 33), anys(33)...) + "/>"),
		"of more than 1048576 byte": io.MultiReader(strings.NewReader("<a>"), endless{}),
		"of more than 1048576":      io.MultiReader(strings.NewReader(`<a b="`), endless{}),
		"broken":                    io.MultiReader(strings.NewReader("<a>"), iotest.ErrReader(broken)),
	} {
		if got, err := ours(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v: want %q", got, err, want)
		}
	}
}

func anys(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = i
	}
	return out
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// FuzzScan: what the scanner takes, encoding/xml takes and understands alike.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0"?><a b="1"><c:d/><e>x&lt;</e></a>`))
	f.Add([]byte("<a><!-- x --><b>\n</b>\t</a> "))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ours(bytes.NewReader(data))
		slow, err2 := ours(iotest.OneByteReader(bytes.NewReader(data)))
		if fmt.Sprint(got, err) != fmt.Sprint(slow, err2) {
			t.Errorf("read at once: %v, %v; byte by byte: %v, %v", got, err, slow, err2)
		}
		// What follows is where XML is stricter or changes text: characters that it
		// does not have, line ends, the rules of names and instructions.
		if err != nil || bytes.ContainsAny(data, "\r:?") || bytes.ContainsFunc(data, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r > 0x7e }) {
			return
		}
		want, err := theirs(bytes.NewReader(data))
		if err == nil && !slices.Equal(got, want) {
			t.Errorf("%v: want %v", got, want)
		}
	})
}
