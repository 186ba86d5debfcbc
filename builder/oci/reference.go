package oci

import (
	"fmt"
	"net/url"
	"regexp"
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

// repositoryName is the grammar of the OCI Distribution Specification 1.1,
// "Pulling manifests".
var repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

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
	// The library takes dots for a name, which would lead elsewhere in a URL.
	if !repositoryName.MatchString(ref.repository.RepositoryStr()) {
		return reference{}, fmt.Errorf("reference %.200q: want lower-case letters and digits, with single . _ - between them", s)
	}
	registry := ref.repository.RegistryStr()
	if u, err := url.Parse("https://" + registry); err != nil || u.Host != registry || u.Hostname() == "" {
		return reference{}, fmt.Errorf("reference %.200q: registry %.200q: want a host, and a port if need be", s, registry)
	}
	if hasDigest {
		if ref.digest, err = manifests.ParseDigest(digest); err != nil {
			return reference{}, fmt.Errorf("reference %.200q: %w", s, err)
		}
		if ref.digest.IsZero() {
			return reference{}, fmt.Errorf("reference %.200q: want a digest that is not zero", s)
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
