package openpgp

import (
	"bytes"
	"io"
	"maps"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"github.com/proa-os/proa/manifests"
)

func dearmorOne(text []byte) ([]byte, error) {
	block, err := armor.Decode(bytes.NewReader(text))
	if err != nil {
		return nil, noEOF(err)
	}
	binary, err := io.ReadAll(block.Body)
	return binary, noEOF(err)
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func digestOfSet(set map[manifests.Digest]bool) manifests.Digest {
	sorted := slices.SortedFunc(maps.Keys(set), func(a, b manifests.Digest) int { return bytes.Compare(a[:], b[:]) })
	var all []byte
	for _, d := range sorted {
		all = append(all, d[:]...)
	}
	return manifests.DigestOf(all)
}
