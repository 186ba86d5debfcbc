package manifests

import (
	"encoding/json"
	"fmt"
	"strings"
)

const (
	statementType = "https://in-toto.io/Statement/v1"
	subjectsMost  = 1024
)

// statement is a Statement v1 of in-toto
// (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md): what
// somebody says of files that are known by their digests.
type statement struct {
	Type          string             `json:"_type"`
	Subject       []statementSubject `json:"subject"`
	PredicateType string             `json:"predicateType"`
	Predicate     json.RawMessage    `json:"predicate"` // in the form of PredicateType
}

type statementSubject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

func (s statementSubject) sha256() (Digest, error) {
	return ParseDigest("sha256:" + s.Digest["sha256"])
}

// newStatement is the text of a statement about a release, by the digest of its
// release.json, and about more files of it.
func newStatement(predicateType string, predicate any, release Digest, more ...Artifact) ([]byte, error) {
	text, err := json.Marshal(predicate)
	if err != nil {
		return nil, err
	}
	s := statement{Type: statementType, PredicateType: predicateType, Predicate: text}
	for _, about := range append([]Artifact{{Name: ReleaseFile, Digest: release}}, more...) {
		s.Subject = append(s.Subject, statementSubject{about.Name, map[string]string{"sha256": about.Digest.Hex()}})
	}
	return json.Marshal(s)
}

// parseStatement passes over fields that are not known, as in-toto wants it.
func parseStatement(data []byte) (statement, error) {
	if err := CheckJSON(data, DocumentMost); err != nil {
		return statement{}, err
	}
	var s statement
	if err := json.Unmarshal(data, &s); err != nil {
		return statement{}, err
	}
	if s.Type != statementType {
		return statement{}, fmt.Errorf("_type %q: want %s", clip(s.Type), statementType)
	}
	if n := len(s.Subject); n > subjectsMost {
		return statement{}, fmt.Errorf("%d subjects: want at most %d", n, subjectsMost)
	}
	return s, nil
}

// readStatement reads a statement of a predicate type that is about a release by its
// release.json and about nothing else but more files of it, in this order. The
// predicate is decoded into into.
func readStatement(data []byte, predicateType string, into any, more ...string) ([]Digest, error) {
	s, err := parseStatement(data)
	if err != nil {
		return nil, err
	}
	if s.PredicateType != predicateType {
		return nil, fmt.Errorf("predicateType %q: want %s", clip(s.PredicateType), predicateType)
	}
	var digests []Digest
	for i, name := range append([]string{ReleaseFile}, more...) {
		if len(s.Subject) != 1+len(more) || s.Subject[i].Name != name {
			return nil, fmt.Errorf("subject: want one, named %s", strings.Join(append([]string{ReleaseFile}, more...), ", and one, named "))
		}
		digest, err := s.Subject[i].sha256()
		if err != nil {
			return nil, err
		}
		digests = append(digests, digest)
	}
	return digests, json.Unmarshal(s.Predicate, into)
}
