package verity

import (
	"bytes"
	"testing"
)

func TestSuperblockIsReadBack(t *testing.T) {
	want := Superblock{UUID: testUUID, Blocks: 12345, Salt: testSalt()}
	for _, size := range []int{sbEnd, BlockSize, 2 * BlockSize} {
		b := append(want.encode(), make([]byte, BlockSize)...)[:size]
		got, err := ParseSuperblock(b)
		if err != nil || got.UUID != want.UUID || got.Blocks != want.Blocks || !bytes.Equal(got.Salt, want.Salt) {
			t.Errorf("from %d bytes: %v, %v: want %v", size, got, err, want)
		}
	}
}

func TestOtherSuperblocksAreRefused(t *testing.T) {
	good := Superblock{UUID: testUUID, Blocks: 12345, Salt: testSalt()}.encode()
	for name, change := range map[string]func(b []byte){
		"magic":           func(b []byte) { b[0] = 'V' },
		"version":         func(b []byte) { b[sbVersion] = 2 },
		"hash type":       func(b []byte) { b[sbHashType] = 0 },
		"algorithm":       func(b []byte) { copy(b[sbAlgorithm:], "sha512") },
		"data block size": func(b []byte) { b[sbDataBlock+1] = 2 },
		"hash block size": func(b []byte) { b[sbHashBlock+1] = 2 },
		"one block":       func(b []byte) { clear(b[sbBlocks:][:8]); b[sbBlocks] = 1 },
		"2^63 blocks":     func(b []byte) { b[sbBlocks+7] = 0x80 },
		"long salt":       func(b []byte) { b[sbSaltSize], b[sbSaltSize+1] = 1, 1 },
		"huge salt":       func(b []byte) { b[sbSaltSize], b[sbSaltSize+1] = 0xff, 0xff },
		"bytes after it":  func(b []byte) { b[sbEnd] = 1 },
		"after the salt":  func(b []byte) { b[sbSalt+40] = 1 },
	} {
		b := bytes.Clone(good)
		change(b)
		if got, err := ParseSuperblock(b[:sbEnd]); err == nil && name != "bytes after it" {
			t.Errorf("%s: %v: want an error", name, got)
		}
		if got, err := ParseSuperblock(b); err == nil {
			t.Errorf("%s, whole block: %v: want an error", name, got)
		}
	}
	if _, err := ParseSuperblock(good[:sbEnd-1]); err == nil {
		t.Error("511 bytes: want an error")
	}
}

func FuzzParseSuperblock(f *testing.F) {
	f.Add(Superblock{UUID: testUUID, Blocks: 12345, Salt: testSalt()}.encode())
	f.Add(Superblock{Blocks: MaxBlocks, Salt: make([]byte, SaltMost)}.encode()[:sbEnd])
	f.Add(Superblock{Blocks: 1 << 63}.encode()[:sbEnd])
	f.Add([]byte(sbMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSuperblock(b)
		if err != nil {
			return
		}
		n := min(len(b), BlockSize)
		if !bytes.Equal(s.encode()[:n], b[:n]) {
			t.Errorf("%v does not encode to what it was read from", s)
		}
	})
}
