package provenance

import (
	"fmt"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/proa-os/proa/manifests"
)

// Amend is a statement that Statement made, for artifacts that were made from those
// of the build and from more inputs. All that it says of the build stays.
func Amend(statement []byte, artifacts []manifests.Artifact, inputs []Input) ([]byte, error) {
	amended := &intoto.Statement{}
	if err := protojson.Unmarshal(statement, amended); err != nil {
		return nil, fmt.Errorf("provenance: %w", err)
	}
	if amended.PredicateType != PredicateType {
		return nil, fmt.Errorf("provenance: predicate %.100q: want %s", amended.PredicateType, PredicateType)
	}
	text, err := protojson.Marshal(amended.Predicate)
	if err != nil {
		return nil, err
	}
	made := &slsa.Provenance{}
	if err := protojson.Unmarshal(text, made); err != nil {
		return nil, fmt.Errorf("provenance: %w", err)
	}
	if err := made.Validate(); err != nil {
		return nil, fmt.Errorf("provenance: %w", err)
	}
	for _, in := range inputs {
		made.BuildDefinition.ResolvedDependencies = append(made.BuildDefinition.ResolvedDependencies, descriptor(in.Name, in.URI, in.Digest))
	}
	if text, err = encode(made); err != nil {
		return nil, err
	}
	amended.Predicate = &structpb.Struct{}
	if err := protojson.Unmarshal(text, amended.Predicate); err != nil {
		return nil, err
	}
	amended.Subject = nil
	for _, a := range artifacts {
		amended.Subject = append(amended.Subject, descriptor(a.Name, "", a.Digest))
	}
	if err := amended.Validate(); err != nil {
		return nil, fmt.Errorf("provenance: %w", err)
	}
	return encode(amended)
}
