package content

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

func TestSumsAreThoseOfTheContents(t *testing.T) {
	var nodes []*tree.Node
	var texts []string
	for i := range 50 {
		text := strings.Repeat("0123456789", i*i*30)
		texts = append(texts, text)
		nodes = append(nodes, &tree.Node{Content: tree.Content{At: strings.NewReader("before" + text), Offset: 6, Size: int64(len(text))}})
	}
	sums, err := Sum(t.Context(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		if sums[i].SHA1 != sha1.Sum([]byte(text)) || sums[i].SHA256 != sha256.Sum256([]byte(text)) {
			t.Errorf("content %d of %d bytes has other sums", i, len(text))
		}
	}
}

func TestKnownSumsAreNotComputedAgain(t *testing.T) {
	known := tree.Sums{SHA1: [20]byte{1}, SHA256: [32]byte{2}}
	// Whoever reads it panics.
	sums, err := Sum(t.Context(), []*tree.Node{{Content: tree.Content{Size: 5, Sums: &known}}})
	if err != nil || sums[0] != known {
		t.Errorf("%v, %v: want %v", sums, err, known)
	}
}

func TestSumSaysWhatCouldNotBeRead(t *testing.T) {
	good := &tree.Node{Content: tree.Content{At: strings.NewReader("text"), Size: 4}}
	short := &tree.Node{Content: tree.Content{At: strings.NewReader("text"), Size: 5}}
	_, err := Sum(t.Context(), []*tree.Node{good, good, short})
	var unreadable *UnreadableError
	if !errors.As(err, &unreadable) || unreadable.Index != 2 {
		t.Errorf("error %v: want one about content 2", err)
	}
}
