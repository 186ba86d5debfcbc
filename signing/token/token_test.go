package token

import (
	"strings"
	"testing"
)

func FuzzURI(f *testing.F) {
	f.Add("pkcs11:token=a;object=b?module-path=/m.so&pin-value=1")
	f.Fuzz(func(t *testing.T, uri string) {
		found, err := parseURI(uri)
		for name, value := range found {
			if err == nil && strings.ContainsRune(value, 0) {
				t.Errorf("%s has a zero", name)
			}
		}
	})
}
