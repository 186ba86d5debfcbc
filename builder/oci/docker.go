package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// dockerImage is one entry of a docker archive's manifest.json (Docker Image
// Specification 1.2, "Combined Image JSON + Filesystem Changeset Format").
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func findInDockerArchive(from files, c Config) ([]layer, error) {
	data, err := readSmall(from, "manifest.json")
	if err != nil {
		return nil, err
	}
	var images []dockerImage
	if err := json.Unmarshal(data, &images); err != nil {
		return nil, fmt.Errorf("parsing manifest.json: %w", err)
	}
	var tags []string
	var found []dockerImage
	for _, img := range images {
		tags = append(tags, img.RepoTags...)
		if c.Ref == "" || slices.Contains(img.RepoTags, c.Ref) || c.Ref == "sha256:"+configDigest(img.Config) {
			found = append(found, img)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("it holds no image named %.200q, only %.500q", c.Ref, tags)
	case len(found) > 1:
		return nil, fmt.Errorf("it holds %d images (%.500q): name one by its tag", len(found), tags)
	}
	return readDockerImage(from, found[0], c)
}

// configDigest is the hex digest in a configuration's file name, which tools
// write as "<hex>.json", "sha256:<hex>" or "blobs/sha256/<hex>".
func configDigest(name string) string {
	return strings.TrimPrefix(strings.TrimSuffix(path.Base(name), ".json"), "sha256:")
}

func readDockerImage(from files, img dockerImage, c Config) ([]layer, error) {
	data, err := readSmall(from, img.Config)
	if err != nil {
		return nil, err
	}
	digest, err := v1.NewHash("sha256:" + configDigest(img.Config))
	if err != nil {
		return nil, fmt.Errorf("configuration %.200q: want a SHA-256 as its name", img.Config)
	}
	sum := newVerifier(nil, digest, -1)
	sum.sum.Write(data)
	if err := sum.check(); err != nil {
		return nil, fmt.Errorf("reading %.200q: %w", img.Config, err)
	}
	diffIDs, err := readConfig(data, c.Arch)
	if err != nil {
		return nil, fmt.Errorf("configuration %.200q: %w", img.Config, err)
	}
	if err := checkLayerCount(len(img.Layers), len(diffIDs)); err != nil {
		return nil, err
	}
	var layers []layer
	for i, name := range img.Layers {
		// Nothing but the diff id says what a docker archive's layer has to be.
		open := func(context.Context) (io.ReadCloser, error) {
			f, _, err := from.open(name)
			return f, err
		}
		layers = append(layers, layer{name: name, open: open, diffID: diffIDs[i]})
	}
	return layers, nil
}
