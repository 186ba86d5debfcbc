package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	jsonDepthMost  = 32
	jsonDigitsMost = 15 // below 2^53, where every JSON implementation agrees
)

// CheckJSON refuses JSON that two parsers could read differently: more than
// most bytes, bad UTF-8, bytes after the value, nesting over 32, a key twice
// in an object (in whatever case, since encoding/json ignores it), null, and
// numbers that are not integers of at most 15 digits.
func CheckJSON(data []byte, most int) error {
	switch {
	case len(data) > most:
		return fmt.Errorf("JSON of %d bytes: want at most %d", len(data), most)
	case !utf8.Valid(data):
		return errors.New("JSON is not valid UTF-8")
	case !json.Valid(data):
		// Unmarshal's error has the place and the reason; Valid has neither.
		var ignored json.RawMessage
		return fmt.Errorf("JSON: %w", json.Unmarshal(data, &ignored))
	}
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	return checkJSONValue(in, 0)
}

func checkJSONValue(in *json.Decoder, depth int) error {
	if depth > jsonDepthMost {
		return fmt.Errorf("JSON nested over %d levels", jsonDepthMost)
	}
	token, err := in.Token()
	if err != nil {
		return fmt.Errorf("JSON: %w", err)
	}
	switch token := token.(type) {
	case nil:
		return fmt.Errorf("JSON null at byte %d: want a value or no field", in.InputOffset())
	case json.Number:
		return checkJSONNumber(token.String())
	case json.Delim:
		if token == '{' {
			return checkJSONObject(in, depth)
		}
		for in.More() {
			if err := checkJSONValue(in, depth+1); err != nil {
				return err
			}
		}
		_, err := in.Token() // the closing bracket
		return err
	}
	return nil
}

func checkJSONObject(in *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for in.More() {
		token, err := in.Token()
		if err != nil {
			return fmt.Errorf("JSON: %w", err)
		}
		key, ok := token.(string)
		if !ok {
			return fmt.Errorf("JSON key %v: want a string", token)
		}
		folded := strings.Map(foldRune, key)
		if seen[folded] {
			return fmt.Errorf("JSON key %q twice in one object", clip(key))
		}
		seen[folded] = true
		if err := checkJSONValue(in, depth+1); err != nil {
			return err
		}
	}
	_, err := in.Token() // the closing brace
	return err
}

func checkJSONNumber(number string) error {
	digits := strings.TrimPrefix(number, "-")
	if len(digits) > jsonDigitsMost || strings.Trim(digits, "0123456789") != "" || number == "-0" {
		return fmt.Errorf("JSON number %s: want an integer of at most %d digits", clip(number), jsonDigitsMost)
	}
	return nil
}

// foldRune maps runes that encoding/json takes for the same in a key, such as
// "K", "k" and the Kelvin sign, to one of them.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

// sameJSON reports the first field of read that is missing in written, has
// another value there, or the other way round. Space and order do not matter.
func sameJSON(read, written []byte) error {
	var values [2]any
	for i, data := range [][]byte{read, written} {
		in := json.NewDecoder(bytes.NewReader(data))
		in.UseNumber()
		if err := in.Decode(&values[i]); err != nil {
			return err
		}
	}
	return sameValue("", values[0], values[1])
}

func sameValue(path string, read, written any) error {
	switch read := read.(type) {
	case map[string]any:
		other, _ := written.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(read)) {
			if _, ok := other[key]; !ok {
				return fmt.Errorf("field %s%s: no such field in this spelling", path, clip(key))
			}
			if err := sameValue(path+key+".", read[key], other[key]); err != nil {
				return err
			}
		}
		for _, key := range slices.Sorted(maps.Keys(other)) {
			if _, ok := read[key]; !ok {
				return fmt.Errorf("field %s%s is missing", path, key)
			}
		}
		return nil
	case []any:
		other, _ := written.([]any)
		if len(other) != len(read) {
			return fmt.Errorf("field %s: want %d values", strings.TrimSuffix(path, "."), len(other))
		}
		for i := range read {
			if err := sameValue(fmt.Sprintf("%s%d.", path, i), read[i], other[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if read != written {
		return fmt.Errorf("field %s: %.80v is written %.80v", strings.TrimSuffix(path, "."), read, written)
	}
	return nil
}
