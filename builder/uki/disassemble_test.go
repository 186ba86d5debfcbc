package uki

import (
	"bytes"
	"strings"
	"testing"
)

func TestAssembleUndoesDisassemble(t *testing.T) {
	for _, full := range []bool{false, true} {
		c := testConfig(t)
		if full {
			c.PCRKey, c.PCRSignature = []byte("key"), []byte("{}")
			c.SBAT = []byte("proa.edge,1,edge,kernel-image,1,https://x\n")
		}
		image := assemble(t, c)
		parts, err := Disassemble(image)
		if err != nil {
			t.Fatal(err)
		}
		if again := assemble(t, parts); !bytes.Equal(again, image) {
			t.Errorf("%d bytes, and others than the %d before", len(again), len(image))
		}
	}
}

func TestAnImageOfOtherPartsIsNotDisassembled(t *testing.T) {
	c := testConfig(t)
	c.PCRSignature = []byte("{}")
	image := bytes.Replace(assemble(t, c), []byte(".pcrsig\x00"), []byte(".splash\x00"), 1)
	if _, err := Disassemble(image); err == nil || !strings.Contains(err.Error(), "section .splash: want none") {
		t.Errorf("got %v", err)
	}
}
