package secureboot

import (
	"encoding/asn1"
	"errors"
)

// contentOf is what a DER structure holds, without its tag and length.
func contentOf(der []byte) ([]byte, error) {
	var value asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &value); err != nil || len(rest) > 0 {
		return nil, errors.New("the signature's content is no structure")
	}
	return value.Bytes, nil
}
