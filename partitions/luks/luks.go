// Package luks reads the header of an encrypted partition, without a key: which of
// its key slots a TPM opens, and for which kernel images (Header.Opens).
//
// It trusts nothing that it reads and writes nothing; cryptsetup(8) does. The format is
// LUKS2 On-Disk Format Specification 1.1; tokens of the type systemd-tpm2 are those
// that systemd-cryptenroll(1) makes.
package luks

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// ErrNone says that there is no LUKS2 header.
var ErrNone = errors.New("no LUKS2 header")

// Header is what a LUKS2 header says.
type Header struct {
	UUID  string
	Label string
	TPM2  []TPM2 // in the order of their numbers, as text

	sequence uint64 // rises with each change
}

// TPM2 is one way in by a TPM.
type TPM2 struct {
	PCRs       []int  // registers that must have the values of when it was made
	Bank       string // of the registers, such as "sha256"
	SignedPCRs []int  // registers whose values Key must have signed
	Key        []byte // PEM; none without SignedPCRs
	PIN        bool   // somebody must type a PIN
}

// The places in the binary header (section 2.1 of the specification), which is in
// big-endian order.
const (
	binarySize = 4096
	versionAt  = 6
	sizeAt     = 8 // of both headers: binary and JSON
	sequenceAt = 16
	labelAt    = 24
	labelEnd   = labelAt + 48
	hashAt     = labelEnd // the name of the checksum's algorithm
	hashEnd    = hashAt + 32
	uuidAt     = hashEnd + 64
	uuidEnd    = uuidAt + 40
	offsetAt   = uuidEnd + 48 // of this header, from the start of the partition
	sumAt      = offsetAt + 8 + 184
	sumEnd     = sumAt + 64
)

// The sizes that headers may have, in bytes; the copy is right behind the first.
const (
	leastSize = 16 << 10
	mostSize  = 4 << 20
)

var (
	magic      = []byte("LUKS\xba\xbe")
	magicCopy  = []byte("SKUL\xba\xbe")
	magicFirst = len(magic)
)

// Read reads the header of a partition: the newer one of its two copies that are
// whole. A partition of something else gives ErrNone.
func Read(r io.ReaderAt) (Header, error) {
	var (
		newest *Header
		faults []error
	)
	note := func(at int64, magic []byte) {
		h, err := read(r, at, magic)
		switch {
		case err != nil:
			faults = append(faults, err)
		case newest == nil || h.sequence > newest.sequence:
			newest = &h
		}
	}
	note(0, magic)
	for at := int64(leastSize); at <= mostSize; at *= 2 {
		note(at, magicCopy)
	}
	if newest != nil {
		return *newest, nil
	}
	for _, err := range faults {
		if !errors.Is(err, ErrNone) {
			return Header{}, err
		}
	}
	return Header{}, ErrNone
}

// read reads the copy at an offset.
func read(r io.ReaderAt, at int64, magic []byte) (Header, error) {
	raw := make([]byte, binarySize)
	if n, err := r.ReadAt(raw, at); n < len(raw) {
		if errors.Is(err, io.EOF) {
			err = ErrNone
		}
		return Header{}, err
	}
	if !bytes.Equal(raw[:magicFirst], magic) {
		return Header{}, ErrNone
	}
	order := binary.BigEndian
	if version := order.Uint16(raw[versionAt:]); version != 2 {
		return Header{}, fmt.Errorf("%w: it is version %d", ErrNone, version)
	}
	size, offset := order.Uint64(raw[sizeAt:]), order.Uint64(raw[offsetAt:])
	if size < leastSize || size > mostSize || size&(size-1) != 0 {
		return Header{}, fmt.Errorf("LUKS2 header of %d bytes: want a power of two from %d to %d", size, leastSize, mostSize)
	}
	if offset != uint64(at) {
		return Header{}, fmt.Errorf("LUKS2 header at %d says that it is at %d", at, offset)
	}
	if name := text(raw[hashAt:hashEnd]); name != "sha256" {
		return Header{}, fmt.Errorf("LUKS2 header with checksum %.32q: want sha256", name)
	}
	area := make([]byte, size-binarySize)
	if n, err := r.ReadAt(area, at+binarySize); n < len(area) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Header{}, fmt.Errorf("reading the LUKS2 header: %w", err)
	}
	sum := bytes.Clone(raw[sumAt:][:sha256.Size])
	clear(raw[sumAt:sumEnd])
	hash := sha256.New()
	hash.Write(raw)
	hash.Write(area)
	if !bytes.Equal(hash.Sum(nil), sum) {
		return Header{}, fmt.Errorf("LUKS2 header at %d does not have its checksum", at)
	}
	h := Header{UUID: text(raw[uuidAt:uuidEnd]), Label: text(raw[labelAt:labelEnd]), sequence: order.Uint64(raw[sequenceAt:])}
	return h, h.parse(area)
}

// text is a field up to its first zero.
func text(field []byte) string {
	before, _, _ := bytes.Cut(field, []byte{0})
	return string(before)
}

// token is the part of the JSON that is read. Integers of other tokens may be
// strings, hence the raw ones.
type token struct {
	Type       string   `json:"type"`
	Slots      []string `json:"keyslots"`
	PCRs       []int    `json:"tpm2-pcrs"`
	Bank       string   `json:"tpm2-pcr-bank"`
	SignedPCRs []int    `json:"tpm2_pubkey_pcrs"`
	Key        []byte   `json:"tpm2_pubkey"`
	PIN        bool     `json:"tpm2-pin"`
}

// mostTokens is what the specification allows.
const mostTokens = 32

func (h *Header) parse(area []byte) error {
	var all struct {
		Slots  map[string]json.RawMessage `json:"keyslots"`
		Tokens map[string]json.RawMessage `json:"tokens"`
	}
	if err := json.Unmarshal([]byte(text(area)), &all); err != nil {
		return fmt.Errorf("LUKS2 header: %w", err)
	}
	if len(all.Tokens) > mostTokens {
		return fmt.Errorf("LUKS2 header with %d tokens: want at most %d", len(all.Tokens), mostTokens)
	}
	for _, number := range slices.Sorted(maps.Keys(all.Tokens)) {
		var kind struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(all.Tokens[number], &kind); err != nil {
			return fmt.Errorf("LUKS2 header, token %.8s: %w", number, err)
		}
		if kind.Type != "systemd-tpm2" {
			continue
		}
		var t token
		if err := json.Unmarshal(all.Tokens[number], &t); err != nil {
			return fmt.Errorf("LUKS2 header, token %.8s: %w", number, err)
		}
		if !slices.ContainsFunc(t.Slots, func(slot string) bool { return all.Slots[slot] != nil }) {
			continue // it leads nowhere
		}
		if (len(t.Key) == 0) != (len(t.SignedPCRs) == 0) {
			return fmt.Errorf("LUKS2 header, token %.8s: it has registers without a key, or a key without registers", number)
		}
		h.TPM2 = append(h.TPM2, TPM2{PCRs: t.PCRs, Bank: t.Bank, SignedPCRs: t.SignedPCRs, Key: t.Key, PIN: t.PIN})
	}
	return nil
}
