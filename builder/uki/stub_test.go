package uki

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsAssembledWithTheStubOfAnImageIsThatImage(t *testing.T) {
	c := testConfig(t)
	image := assemble(t, c)
	stub, err := Stub(image)
	if err != nil {
		t.Fatal(err)
	}
	c.Stub = stub
	if again := assemble(t, c); !bytes.Equal(again, image) {
		t.Errorf("%d bytes, and others than the %d before", len(again), len(image))
	}
}

func TestTheStubOfASignedImageIsNotSigned(t *testing.T) {
	c, dir := testConfig(t), t.TempDir()
	file, signed := filepath.Join(dir, "image.efi"), filepath.Join(dir, "signed.efi")
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	image := assemble(t, c)
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2", "-keyout", key, "-out", cert)
	run(t, "sbsign", "--key", key, "--cert", cert, "--output", signed, file)
	content, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	if c.Stub, err = Stub(content); err != nil {
		t.Fatal(err)
	}
	if again := assemble(t, c); !bytes.Equal(again, image) {
		t.Error("it is not the image before it was signed")
	}
}

func TestOnlyAUKIHasAStub(t *testing.T) {
	image := assemble(t, testConfig(t))
	swapped := bytes.Replace(image, []byte(SectionUname+"\x00"), []byte(".other\x00"), 1)
	for _, test := range []struct {
		image []byte
		want  string
	}{
		{realStub(t), "want a unified kernel image"},
		{[]byte("MZ"), "PE image of 2 bytes"},
		{image[:20000], "want it in the file"},
		{swapped, `section ".other" comes after ".osrel"`},
	} {
		if _, err := Stub(test.image); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want an error with %q", err, test.want)
		}
	}
}

func FuzzStub(f *testing.F) {
	image, err := Assemble(tinyConfig())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(image)
	f.Fuzz(func(t *testing.T, image []byte) {
		stub, err := Stub(image)
		if err != nil {
			return
		}
		if _, err := readHeaders(bytes.NewReader(stub), int64(len(stub))); err != nil {
			t.Errorf("the stub cannot be read: %v", err)
		}
	})
}
