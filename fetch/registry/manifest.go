package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/proa-os/proa/manifests"
)

// The media types of a repository in a registry (docs/reference/repository.md).
const (
	ArtifactType = "application/vnd.proa.repository.v1"
	FileType     = "application/vnd.proa.repository.file.v1"
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	EmptyType    = "application/vnd.oci.empty.v1+json"
)

// Bounds of what is read.
const (
	ManifestMost = 4 << 20 // bytes, as the Distribution Specification has it
	FilesMost    = 16_384
)

// ErrNotRepository is wrapped by the error of a manifest that is not one of a
// repository.
var ErrNotRepository = errors.New("it is no proa repository")

// Manifest is an OCI image manifest of a repository (Image Specification 1.1):
// each of its layers is one file.
type Manifest struct {
	SchemaVersion int        `json:"schemaVersion"` // 2
	MediaType     string     `json:"mediaType"`
	ArtifactType  string     `json:"artifactType"`
	Config        Descriptor `json:"config"`
	Layers        Layers     `json:"layers"`
}

// Layers are at most FilesMost.
type Layers []Descriptor

// UnmarshalJSON implements json.Unmarshaler.
func (l *Layers) UnmarshalJSON(text []byte) error {
	in := json.NewDecoder(bytes.NewReader(text))
	if open, err := in.Token(); err != nil || open != json.Delim('[') {
		return errors.New("layers: want an array")
	}
	for in.More() {
		if len(*l) == FilesMost {
			return fmt.Errorf("more than %d layers", FilesMost)
		}
		var layer Descriptor
		if err := in.Decode(&layer); err != nil {
			return fmt.Errorf("layer %d: %w", len(*l), err)
		}
		*l = append(*l, layer)
	}
	return nil
}

// Descriptor names a blob.
type Descriptor struct {
	MediaType   string           `json:"mediaType"`
	Digest      manifests.Digest `json:"digest"`
	Size        int64            `json:"size"` // bytes
	Annotations Annotations      `json:"annotations,omitzero"`
}

// Annotations are those that mean something here.
type Annotations struct {
	Title string `json:"org.opencontainers.image.title"` // the file's path in the repository
}

// ParseManifest reads a manifest. Fields that this version does not know are
// passed over, as that specification demands. The files are in the result by
// their names.
func ParseManifest(text []byte) (Manifest, map[string]Descriptor, error) {
	if len(text) > ManifestMost {
		return Manifest{}, nil, fmt.Errorf("manifest of more than %d bytes", ManifestMost)
	}
	if !utf8.Valid(text) {
		return Manifest{}, nil, errors.New("manifest: not valid UTF-8")
	}
	var kind struct {
		MediaType    string `json:"mediaType"`
		ArtifactType string `json:"artifactType"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return Manifest{}, nil, fmt.Errorf("manifest: %w", err)
	}
	if kind.ArtifactType != ArtifactType || kind.MediaType != ManifestType {
		return Manifest{}, nil, fmt.Errorf("manifest of type %.80q, artifact type %.80q: %w", kind.MediaType, kind.ArtifactType, ErrNotRepository)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return Manifest{}, nil, fmt.Errorf("manifest: %w", err)
	}
	files, err := m.files()
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("manifest: %w", err)
	}
	return m, files, nil
}

func (m Manifest) files() (map[string]Descriptor, error) {
	if m.SchemaVersion != 2 {
		return nil, fmt.Errorf("schemaVersion %d: want 2", m.SchemaVersion)
	}
	if len(m.Layers) == 0 {
		return nil, errors.New("no layers")
	}
	files := make(map[string]Descriptor, len(m.Layers))
	for i, layer := range m.Layers {
		name := layer.Annotations.Title
		if layer.MediaType != FileType {
			return nil, fmt.Errorf("layer %d of type %.80q: want %s", i, layer.MediaType, FileType)
		}
		if err := checkFile(name, layer); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		if _, twice := files[name]; twice {
			return nil, fmt.Errorf("layer %d: %.100q is there twice", i, name)
		}
		files[name] = layer
	}
	return files, nil
}

func checkFile(name string, d Descriptor) error {
	folder, _, _ := strings.Cut(name, "/")
	switch {
	case !fs.ValidPath(name) || folder != "metadata" && folder != "targets" && folder != "artifacts":
		return fmt.Errorf("title %.100q: want a path of a repository", name)
	case d.Size < 1:
		return fmt.Errorf("%.100q has %d bytes: want 1 or more", name, d.Size)
	case d.Digest.IsZero():
		return fmt.Errorf("%.100q: no digest", name)
	}
	return nil
}
