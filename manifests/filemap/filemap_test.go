package filemap

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var sample = Layout{
	{Extent{4096, 1, "usr/bin/a b"}, 130, 1},
	{Extent{8192, 4096, "usr/new\nline"}, 128, 2},
	{Extent{12288, 4097, `usr/back\slash`}, 0, 0},
	{Extent{20480, 1 << 33, "\xff\xfe/\x7fü"}, 200, 1},
	{Extent{0, 0, "."}, 131, 3},
	{Extent{0, 0, "usr"}, 134, 66},
	{Extent{0, 0, strings.Repeat("p", 4095)}, 1 << 32, 1},
}

const sampleText = "proa root map 1\n" +
	"1 1 130 1 usr/bin/a b\n" +
	"2 4096 128 2 usr/new\\x0aline\n" +
	"3 4097 0 0 usr/back\\x5cslash\n" +
	"5 8589934592 200 1 \xff\xfe/\\x7fü\n" +
	"0 0 131 3 .\n" +
	"0 0 134 66 usr\n"

func TestAMapIsReadAsItWasWritten(t *testing.T) {
	text := sample.Append(nil)
	if want := sampleText + "0 0 4294967296 1 " + strings.Repeat("p", 4095) + "\n"; string(text) != want {
		t.Errorf("written as %.400q: want %.400q", text, want)
	}
	layout, err := ParseLayout(text)
	if err != nil || !reflect.DeepEqual(layout, sample) {
		t.Errorf("read as %.300v, %v", layout, err)
	}
	m, err := Parse(text)
	if err != nil || len(m) != 4 || m[3] != sample[3].Extent {
		t.Errorf("extents %.300v, %v", m, err)
	}
	again, err := Parse(m.Append(nil))
	if err != nil || !slices.Equal(again, m) {
		t.Errorf("extents alone read as %.300v, %v", again, err)
	}
	if m, err := Parse([]byte(header)); err != nil || len(m) != 0 {
		t.Errorf("an empty map: %v, %v", m, err)
	}
}

func TestWhatNoBuildWritesIsRefused(t *testing.T) {
	for lines, rule := range map[string]string{
		"1 1 0 0 a":        "ends in the middle",
		"1 1 0 0 \n":       "clean",
		"1 1 0 0 /a\n":     "clean",
		"1 1 0 0 a/../b\n": "clean",
		"1 1 0 0 a//b\n":   "clean",
		"1 1 0 0 a\\x00\n": "none of them 0",
		"1 1 0 0 a\\x61\n": "nothing else",
		"1 1 0 0 a\\x0A\n": "nothing else",
		"1 1 0 0 a\\n\n":   "two digits",
		"1 1 0 0 a\\x0\n":  "two digits",
		"1 1 0 0 a\tb\n":   "nothing else",
		"1 1 0 0 " + strings.Repeat("p", 4096) + "\n": "at most 4095",
		"01 1 0 0 a\n":                                  "want a number",
		"+1 1 0 0 a\n":                                  "want a number",
		"-1 1 0 0 a\n":                                  "want a number",
		"1 1 0\n":                                       "want a number",
		"1 18446744073709551616 0 0 a\n":                "want a number",
		"1 9223372036854775807 0 0 a\n":                 "bytes of image",
		"4294967296 1 0 0 a\n":                          "bytes of image",
		"9223372036854775807 1 0 0 a\n":                 "bytes of image",
		"1 0 1 1 a\n":                                   "want blocks where",
		"0 1 1 1 a\n":                                   "want blocks where",
		"0 0 0 0 a\n":                                   "want both",
		"1 1 5 0 a\n":                                   "want both",
		"1 1 0 5 a\n":                                   "want both",
		"1 1 5 4097 a\n":                                "of 4096",
		"1 1 9223372036854775807 1 a\n":                 "at most",
		"1 4097 0 0 a\n2 1 0 0 b\n":                     "before the end",
		"2 1 0 0 a\n1 1 0 0 b\n":                        "before the end",
		"0 0 9 2 a\n0 0 10 1 b\n":                       "before the end",
		"0 0 9 2 a\n1 1 20 1 b\n":                       "want them first",
		"1 1 0 0 a\n2 1 0 0 a\n":                        "twice",
		"1 1 9 2 a\n2 1 10 1 b\n":                       "overlap",
		"1 1 128 1 a\n0 0 120 9 b\n":                    "overlap",
		"1 1 0 0 a\n\n2 1 0 0 b\n":                      "want a number",
		"1 1 0 0 a\r\n":                                 "nothing else",
		"1 1 0 0 a\n1 1 0 0 b" + strings.Repeat(" ", 3): "ends in the middle",
	} {
		if m, err := Parse([]byte(header + lines)); err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%.60q: %.100v, error %v: want %q in it", lines, m, err, rule)
		}
	}
	for _, text := range []string{"", "proa root map 2\n", "proa root map 1"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample[:6].Append(nil))
	f.Add([]byte(header + "1 1 0 0 a\\x0a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		layout, err := ParseLayout(data)
		if err != nil {
			return
		}
		if !bytes.Equal(layout.Append(nil), data) {
			t.Errorf("%q is read, and written otherwise", data)
		}
		end := int64(0)
		for _, e := range layout.Map() {
			if e.Offset < end || e.Size <= 0 {
				t.Errorf("%+v begins before %d", e, end)
			}
			end = e.end()
		}
	})
}
