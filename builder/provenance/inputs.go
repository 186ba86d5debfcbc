package provenance

import (
	"net/url"
	"path"
	"strings"

	"github.com/proa-os/proa/manifests"
)

// Inputs is what a lock names for a source: an archive, an image with its
// layers, or package repositories and packages. What a lock does not name, such
// as keys and overlay folders, the build adds.
func Inputs(in manifests.Locked) []Input {
	var inputs []Input
	if in.File != nil {
		inputs = append(inputs, Input{Name: in.Source, Digest: in.File.Digest})
	}
	if in.Image != nil {
		inputs = append(inputs, image(in.Source, in.Image)...)
	}
	for _, r := range in.Repositories {
		name := "repository " + r.URL
		if r.Suite != "" {
			name += " " + r.Suite
		}
		inputs = append(inputs, Input{Name: name, URI: webURL(r.URL), Digest: r.Digest})
	}
	for _, p := range in.Packages {
		inputs = append(inputs, Input{Name: p.Name + " " + p.Version + " " + p.Arch, URI: webURL(p.URL), Digest: p.Digest})
	}
	return inputs
}

func image(source string, i *manifests.LockedImage) []Input {
	inputs := []Input{{Name: source, URI: imageURL(i.Reference, i.Manifest.Digest), Digest: i.Manifest.Digest}}
	if !i.Index.IsZero() {
		inputs = append(inputs, Input{Name: source + ", index", URI: imageURL(i.Reference, i.Index), Digest: i.Index})
	}
	inputs = append(inputs, Input{Name: source + ", config", Digest: i.Config.Digest})
	for _, layer := range i.Layers {
		inputs = append(inputs, Input{Name: source + ", layer", Digest: layer.Digest})
	}
	return inputs
}

// imageURL is the package URL of an image
// (https://github.com/package-url/purl-spec, type oci).
func imageURL(reference string, d manifests.Digest) string {
	repository, tag := reference, ""
	if colon := strings.LastIndexByte(reference, ':'); colon > strings.LastIndexByte(reference, '/') {
		repository, tag = reference[:colon], reference[colon+1:]
	}
	u := "pkg:oci/" + url.PathEscape(strings.ToLower(path.Base(repository))) + "@" + url.QueryEscape(d.String()) +
		"?repository_url=" + url.QueryEscape(repository)
	if tag != "" {
		u += "&tag=" + url.QueryEscape(tag)
	}
	return u
}

// webURL leaves out what is a path on the machine that built.
func webURL(location string) string {
	if strings.HasPrefix(location, "http://") || strings.HasPrefix(location, "https://") {
		return location
	}
	return ""
}
