package vendoring

import (
	"encoding/json"
	"path/filepath"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
)

// layout is an image that index.json lists.
type layout struct {
	image manifests.LockedImage
	arch  manifests.Arch
}

// descriptor is an entry of index.json (OCI Image Specification 1.1).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Size        int64             `json:"size"`
	Digest      manifests.Digest  `json:"digest"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// writeIndex writes what makes the folder an image layout.
func (c Config) writeIndex() error {
	index := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}{2, "application/vnd.oci.image.index.v1+json", []descriptor{}}
	images := c.layouts
	for _, in := range c.Lock.Inputs {
		if in.Image != nil {
			images = append(images, layout{*in.Image, in.Arch})
		}
	}
	for _, l := range images {
		index.Manifests = append(index.Manifests, descriptor{
			MediaType:   l.image.Manifest.MediaType,
			Size:        l.image.Manifest.Size,
			Digest:      l.image.Manifest.Digest,
			Platform:    map[string]string{"os": "linux", "architecture": string(l.arch)},
			Annotations: map[string]string{"org.opencontainers.image.ref.name": l.image.Reference},
		})
	}
	text, err := json.MarshalIndent(index, "", " ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(c.Dir, "index.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(c.Dir, "oci-layout"), []byte(`{"imageLayoutVersion": "1.0.0"}`+"\n"), 0o644)
}
