package uki

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
)

// tinyStub is a stub of one section, small enough for the fuzzer to be quick.
func tinyStub() []byte {
	stub := make([]byte, 1024)
	copy(stub, "MZ")
	binary.LittleEndian.PutUint32(stub[60:], 64)
	file := stub[64:]
	copy(file, "PE")
	binary.LittleEndian.PutUint16(file[4:], machineAMD64)
	binary.LittleEndian.PutUint16(file[6:], 1)
	binary.LittleEndian.PutUint16(file[20:], 240)
	optional := file[fileHeaderSize:]
	binary.LittleEndian.PutUint16(optional, optionalMagic)
	binary.LittleEndian.PutUint32(optional[optionalSectionAlgn:], 512)
	binary.LittleEndian.PutUint32(optional[optionalFileAlgn:], 32)
	binary.LittleEndian.PutUint32(optional[optionalHeadersSize:], 900)
	binary.LittleEndian.PutUint32(optional[optionalDirectories-4:], 16)
	section := optional[240:]
	copy(section, ".text")
	binary.LittleEndian.PutUint32(section[8:], 60)
	binary.LittleEndian.PutUint32(section[12:], 4096)
	binary.LittleEndian.PutUint32(section[16:], 64)
	binary.LittleEndian.PutUint32(section[20:], 960)
	return stub
}

func tinyConfig() Config {
	return Config{
		Stub: tinyStub(), Kernel: []byte("kernel"), Initrd: []byte("initrd"),
		CommandLine: "quiet", OSRelease: []byte("ID=x"), Uname: "6.1",
	}
}

func FuzzParse(f *testing.F) {
	c := tinyConfig()
	image, err := Assemble(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(image)
	f.Add(image[:700])
	f.Add(c.Stub)
	f.Fuzz(func(t *testing.T, image []byte) {
		u, err := Parse(bytes.NewReader(image), int64(len(image)))
		if err != nil {
			return
		}
		for _, s := range u.Sections {
			section, err := u.Open(s.Name)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, section); err != nil || n != s.Size {
				t.Fatalf("section %s: %d of %d bytes, %v", s.Name, n, s.Size, err)
			}
		}
		c := tinyConfig()
		c.Stub = image
		if _, err := Assemble(c); err == nil {
			t.Fatal("an image that is a UKI already was taken for a stub")
		}
	})
}

func FuzzAssemble(f *testing.F) {
	f.Add(tinyStub())
	f.Fuzz(func(t *testing.T, stub []byte) {
		c := tinyConfig()
		c.Stub = stub
		image, err := Assemble(c)
		if err != nil {
			return
		}
		u, err := Parse(bytes.NewReader(image), int64(len(image)))
		if err != nil && !strings.Contains(err.Error(), "twice") {
			t.Fatalf("our own image does not parse: %v", err)
		}
		if err == nil && u.CommandLine != c.CommandLine {
			t.Fatalf("command line %q", u.CommandLine)
		}
	})
}
