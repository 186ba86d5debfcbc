package vendoring

import (
	"encoding/json"
	"io"
	"os"
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

const indexFile = "index.json"

// mark is the annotation of index.json that says who has made the folder.
const mark = "io.github.proa-os.proa.vendored"

type index struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Manifests     []descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations"`
}

// marked reports whether this package has made the folder.
func marked(dir string) bool {
	file, err := os.Open(filepath.Join(dir, indexFile))
	if err != nil {
		return false
	}
	defer file.Close()
	const most = 4 << 20
	data, err := io.ReadAll(io.LimitReader(file, most))
	var found index
	return err == nil && json.Unmarshal(data, &found) == nil && found.Annotations[mark] != ""
}

// prepare makes the folder. The mark comes before the first blob, so that a run
// that is cut off can be run again.
func (c *Config) prepare() error {
	if err := durable.MakeFolder(c.Dir); err != nil {
		return err
	}
	if !marked(c.Dir) {
		if err := c.writeLayout(nil); err != nil {
			return err
		}
	}
	return durable.MakeFolder(filepath.Join(c.Dir, blobsFolder))
}

// writeIndex lists the images.
func (c *Config) writeIndex() error {
	images := c.layouts
	for _, in := range c.Lock.Inputs {
		if in.Image != nil {
			images = append(images, layout{*in.Image, in.Arch})
		}
	}
	return c.writeLayout(images)
}

// writeLayout writes what makes the folder a layout of these images.
func (c *Config) writeLayout(images []layout) error {
	all := index{2, "application/vnd.oci.image.index.v1+json", []descriptor{}, map[string]string{mark: "1"}}
	for _, l := range images {
		all.Manifests = append(all.Manifests, descriptor{
			MediaType:   l.image.Manifest.MediaType,
			Size:        l.image.Manifest.Size,
			Digest:      l.image.Manifest.Digest,
			Platform:    map[string]string{"os": "linux", "architecture": string(l.arch)},
			Annotations: map[string]string{"org.opencontainers.image.ref.name": l.image.Reference},
		})
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(c.Dir, indexFile), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(c.Dir, "oci-layout"), []byte(`{"imageLayoutVersion": "1.0.0"}`+"\n"), 0o644)
}
