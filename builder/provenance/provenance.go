// Package provenance says how a release was made: a statement of the in-toto
// attestation framework (https://github.com/in-toto/attestation, Statement v1)
// whose predicate is SLSA provenance v1 (https://slsa.dev/spec/v1.0/provenance).
//
// Inputs lists what a lock names; Statement writes the statement, which
// signing.Seal puts into an envelope. The same release gives the same bytes:
// no clock is read.
package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/proa-os/proa/manifests"
)

const (
	// PredicateType says that a statement is SLSA provenance.
	PredicateType = manifests.ProvenanceType

	// BuildType says what Config's fields mean in a statement: a recipe, known by
	// its digest, was built by 'proa build' for one architecture, at one version
	// and epoch, from the dependencies and nothing else.
	BuildType = "https://github.com/proa-os/proa/build/v1"

	// DefaultBuilder is the builder when nobody says where it ran.
	DefaultBuilder = "https://github.com/proa-os/proa"
)

// Config is one build.
type Config struct {
	Product   string               // required
	Version   manifests.Version    // required
	Arch      manifests.Arch       // required
	Epoch     int64                // seconds since 1970
	Recipe    manifests.Digest     // required: of the recipe
	Lock      manifests.Digest     // optional: of the lock
	Inputs    []Input              // all that was read besides the recipe
	Artifacts []manifests.Artifact // required: what was made, without this statement
	Builder   string               // URI of who built; DefaultBuilder if empty
	Tool      string               // optional: version of proa
}

// Input is something that the build read.
type Input struct {
	Name   string // in the words of the recipe or the lock
	URI    string // where it is from, if that can be said
	Digest manifests.Digest
}

// Statement is the statement as JSON: compact, object keys sorted.
func Statement(c Config) ([]byte, error) {
	if c.Product == "" || c.Recipe.IsZero() || len(c.Artifacts) == 0 {
		return nil, errors.New("provenance: want a product, the recipe's digest and artifacts")
	}
	predicate, err := c.predicate()
	if err != nil {
		return nil, fmt.Errorf("provenance: %w", err)
	}
	statement := &intoto.Statement{Type: intoto.StatementTypeUri, PredicateType: PredicateType, Predicate: predicate}
	for _, a := range c.Artifacts {
		statement.Subject = append(statement.Subject, descriptor(a.Name, "", a.Digest))
	}
	if err := statement.Validate(); err != nil {
		return nil, fmt.Errorf("provenance: %w", err)
	}
	return encode(statement)
}

func descriptor(name, uri string, d manifests.Digest) *intoto.ResourceDescriptor {
	return &intoto.ResourceDescriptor{Name: name, Uri: uri, Digest: map[string]string{"sha256": d.Hex()}}
}

func (c Config) predicate() (*structpb.Struct, error) {
	parameters := map[string]any{
		"recipe":  c.Recipe.String(),
		"product": c.Product,
		"version": string(c.Version),
		"arch":    string(c.Arch),
		"epoch":   strconv.FormatInt(c.Epoch, 10), // not a number, which JSON would round
	}
	if !c.Lock.IsZero() {
		parameters["lock"] = c.Lock.String()
	}
	external, err := structpb.NewStruct(parameters)
	if err != nil {
		return nil, err
	}
	builder := &slsa.Builder{Id: c.Builder}
	if builder.Id == "" {
		builder.Id = DefaultBuilder
	}
	if c.Tool != "" {
		builder.Version = map[string]string{"proa": c.Tool}
	}
	made := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{BuildType: BuildType, ExternalParameters: external},
		RunDetails: &slsa.RunDetails{
			Builder:  builder,
			Metadata: &slsa.BuildMetadata{FinishedOn: timestamppb.New(time.Unix(c.Epoch, 0))},
		},
	}
	for _, in := range c.Inputs {
		made.BuildDefinition.ResolvedDependencies = append(made.BuildDefinition.ResolvedDependencies, descriptor(in.Name, in.URI, in.Digest))
	}
	if err := made.Validate(); err != nil {
		return nil, err
	}
	text, err := encode(made)
	if err != nil {
		return nil, err
	}
	predicate := &structpb.Struct{}
	return predicate, protojson.Unmarshal(text, predicate)
}

// encode is m as JSON. What protojson writes is not the same in every program
// (it says so), hence the second pass.
func encode(m proto.Message) ([]byte, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
