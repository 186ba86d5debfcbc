package manifests

import (
	"testing"

	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// readByOthers reads a statement with in-toto's own types, and demands its type and the
// digests of its subjects.
func readByOthers(t *testing.T, text []byte, predicateType string, subjects ...Digest) *intoto.Statement {
	t.Helper()
	theirs := &intoto.Statement{}
	if err := protojson.Unmarshal(text, theirs); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Validate(); err != nil {
		t.Error(err)
	}
	if theirs.PredicateType != predicateType || len(theirs.Subject) != len(subjects) {
		t.Fatalf("they read %+v", theirs)
	}
	for i, digest := range subjects {
		if theirs.Subject[i].Digest["sha256"] != digest.Hex() {
			t.Errorf("they read subject %d as %v: want %s", i, theirs.Subject[i].Digest, digest)
		}
	}
	return theirs
}
