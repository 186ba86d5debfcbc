package oci

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/proa-os/proa/manifests"
)

// reference is an image in a registry, as a recipe or a lock names it.
type reference struct {
	repository name.Repository
	tag        string           // "latest" where none is given
	digest     manifests.Digest // zero where none is given; else the tag is but a comment
	text       string           // as given, but without the digest
}

// parseReference reads registry/name, registry/name:tag and either of them with
// @sha256:… behind it (https://github.com/distribution/reference).
func parseReference(s string) (reference, error) {
	const most = 1024
	if len(s) > most {
		return reference{}, fmt.Errorf("reference of %d bytes: want at most %d", len(s), most)
	}
	text, digest, hasDigest := strings.Cut(s, "@")
	ref := reference{text: text}
	tag, err := name.NewTag(text, name.WeakValidation)
	if err != nil {
		return reference{}, fmt.Errorf("reference %.200q: want registry/name:tag: %w", s, err)
	}
	ref.repository, ref.tag = tag.Context(), tag.TagStr()
	if hasDigest {
		if ref.digest, err = manifests.ParseDigest(digest); err != nil {
			return reference{}, fmt.Errorf("reference %.200q: %w", s, err)
		}
	}
	return ref, nil
}

// asked is what the registry is asked for: the digest or else the tag.
func (r reference) asked() string {
	if !r.digest.IsZero() {
		return r.digest.String()
	}
	return r.tag
}
