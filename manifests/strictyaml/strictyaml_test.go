package strictyaml

import (
	"slices"
	"strings"
	"testing"
)

type sample struct {
	Name  string   `yaml:"name"`
	Count int64    `yaml:"count"`
	On    bool     `yaml:"on"`
	Words []string `yaml:"words"`
	Codes []int    `yaml:"codes,single"`
	Inner *struct {
		Level uint64 `yaml:"level"`
	} `yaml:"inner"`
}

func TestEveryFaultIsReportedWithItsPlace(t *testing.T) {
	for _, test := range []struct{ name, yaml, want string }{
		{"empty", "", "f:1:1: the document is empty"},
		{"only a comment", "# nothing\n", "f:1:1: the document is empty"},
		{"unknown key", "nam: x\n", `f:1:1: unknown key "nam": want one of codes, count, inner, name, on, words`},
		{"unknown key inside", "inner: {lvl: 1}\n", `f:1:9: unknown key "lvl" in inner: want one of level`},
		{"repeated key", "name: a\ncount: 1\nname: b\n", `f:3:1: key "name" is repeated: it is also on line 1`},
		{"three at once", "name: [a]\ncount: x\non: 3\n",
			"f:1:7: name: want a single value\nf:2:8: count: \"x\": want a whole number\nf:3:5: on: \"3\": want true or false"},
		{"negative for unsigned", "inner:\n  level: -1\n", `f:2:10: inner.level: "-1": want a whole number from 0 to 18446744073709551615`},
		{"anchor", "name: &a x\n", "f:1:7: name: anchors, aliases, merge keys and tags are not allowed here"},
		{"alias in a list", "words: [&a x, *a]\n", "f:1:9: words[0]: anchors, aliases, merge keys and tags are not allowed here\nf:1:15: words[1]: anchors, aliases, merge keys and tags are not allowed here"},
		{"merge key", "<<: {name: x}\n", "f:1:1: the document: want a plain key"},
		{"missing value", "name:\ncount: 1\n", "f:1:1: name: the value is missing"},
		{"list instead of keys", "- a\n", "f:1:1: the document: want keys and values"},
		{"second document", "name: a\n---\nname: b\n", "f:3:1: a second document: want one"},
		{"control character", "name: \"a\x01\"\n", "f:1:9: a control character or a byte that is not UTF-8"},
		{"not UTF-8", "name: \xff\n", "f:1:7: a control character or a byte that is not UTF-8"},
		{"not closed", "words: [a\n", "f:1:8: not YAML: sequence end token ']' not found"},
		{"too deep", "words: " + strings.Repeat("[", 5000), "f:1:1: the document is nested too deeply: want at most 64 levels"},
		{"too deep by dashes", strings.Repeat("- ", 5000) + "a", "f:1:1: the document is nested too deeply: want at most 64 levels"},
		{"too long", "name: " + strings.Repeat("a", maxSize), "f:1:1: the document is 262150 bytes long: want at most 262144"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var v sample
			err := Decode("f", []byte(test.yaml), &v).Err()
			if err == nil {
				t.Fatalf("no fault in %.60q", test.yaml)
			}
			if err.Error() != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", err, test.want)
			}
		})
	}
}

func TestValuesArriveAsWritten(t *testing.T) {
	var v sample
	doc := Decode("f", []byte("\xef\xbb\xbfname: 1.10\r\ncount: -3\r\non: true\r\nwords:\r\n  - a\r\n  - |\r\n    b\r\ninner: {level: 7}\r\n"), &v)
	if err := doc.Err(); err != nil {
		t.Fatal(err)
	}
	if v.Name != "1.10" || v.Count != -3 || !v.On || v.Inner == nil || v.Inner.Level != 7 ||
		len(v.Words) != 2 || v.Words[0] != "a" || v.Words[1] != "b\n" {
		t.Errorf("got %+v", v)
	}
}

func TestAFaultFoundLaterNamesThePlaceAndDoesNotRepeatAnEarlierOne(t *testing.T) {
	var v sample
	doc := Decode("f", []byte("name: a\nwords: [x, {}]\n"), &v)
	doc.Fault("words[0]", "words[0]: too short")
	doc.Fault("words[1]", "words[1]: already known to be wrong")
	doc.Fault("inner.level", "inner.level is missing")
	want := "f:1:1: inner.level is missing\nf:2:9: words[0]: too short\nf:2:12: words[1]: want a single value"
	if err := doc.Err(); err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestOneValueStandsForAListOfOneWhereTheTagSaysSo(t *testing.T) {
	for yaml, want := range map[string][]int{"codes: 7\n": {7}, "codes: [7, 8]\n": {7, 8}, "codes: []\n": {}} {
		var v sample
		if err := Decode("f", []byte(yaml), &v).Err(); err != nil || !slices.Equal(v.Codes, want) || v.Codes == nil {
			t.Errorf("%q: got %v, %v; want %v", yaml, v.Codes, err, want)
		}
	}
	for yaml, want := range map[string]string{
		"codes: x\n":      `f:1:8: codes: "x": want a whole number`,
		"codes: {a: 1}\n": "f:1:8: codes: want a list",
		"words: x\n":      "f:1:8: words: want a list",
	} {
		var v sample
		if err := Decode("f", []byte(yaml), &v).Err(); err == nil || err.Error() != want {
			t.Errorf("%q: got %v; want %s", yaml, err, want)
		}
	}
}

func TestADocumentKnowsWhatItHas(t *testing.T) {
	var v sample
	doc := Decode("f", []byte("name: [x]\ncount:\ninner: {level: 1}\n"), &v)
	for path, want := range map[string]bool{"name": true, "count": true, "inner.level": true, "on": false, "inner.x": false} {
		if doc.Has(path) != want {
			t.Errorf("Has(%q) is %v", path, !want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"name: a\ncount: 1\n", "words: [a, b]\ninner:\n  level: 3\n", "? a\n: b\n", "&a [*a]", "!!str x", "- - - a",
		"name: 'x\n", "a: {b: {c: }}", "\xef\xbb\xbf", "%YAML 1.2\n---\n", "name: >-\n  x\n  y\n", "<<: *x",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v sample
		_ = Decode("f", data, &v).Err()
	})
}
