package oci

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/proa-os/proa/manifests"
)

// manifest is a manifest or index as the registry sent it. Its digest is that
// of its bytes.
type manifest struct {
	v1.Descriptor
	data []byte
}

// manifestTypes are asked for, the old ones so that they can be refused in
// words.
var manifestTypes = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1), string(types.DockerManifestList), string(types.DockerManifestSchema2),
	string(types.DockerManifestSchema1Signed), string(types.DockerManifestSchema1),
}, ", ")

// manifest asks for a manifest by tag or digest, as often as it breaks off.
func (r *repository) manifest(ctx context.Context, item string) (m manifest, err error) {
	for attempts := r.Patience.Retry(); ; {
		m, err = r.manifestOnce(ctx, item)
		if err == nil || !errors.Is(err, errBroken) {
			return m, err
		}
		if err := attempts.Again(ctx, err); err != nil {
			return m, err
		}
	}
}

// errBroken is wrapped by errors in the middle of a body.
var errBroken = errors.New("the connection broke")

func (r *repository) manifestOnce(ctx context.Context, item string) (manifest, error) {
	response, err := r.get(ctx, "manifests", item, http.Header{"Accept": {manifestTypes}})
	if err != nil {
		return manifest{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxJSON+1))
	switch {
	case ctx.Err() != nil:
		return manifest{}, context.Cause(ctx)
	case err != nil:
		return manifest{}, fmt.Errorf("manifest %s: %w: %w", item, errBroken, err)
	case len(data) > maxJSON:
		return manifest{}, fmt.Errorf("manifest %s: more than %d bytes", item, maxJSON)
	}
	digest := manifests.DigestOf(data)
	if said := response.Header.Get("Docker-Content-Digest"); said != "" && said != digest.String() {
		return manifest{}, fmt.Errorf("manifest %s: the registry says that its digest is %.100q: it is %s", item, said, digest)
	}
	if strings.HasPrefix(item, "sha256:") && item != digest.String() {
		return manifest{}, fmt.Errorf("manifest %s: its digest is %s", item, digest)
	}
	kind, err := manifestType(response.Header.Get("Content-Type"), data)
	if err != nil {
		return manifest{}, fmt.Errorf("manifest %s: %w", item, err)
	}
	d := v1.Descriptor{MediaType: kind, Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha256", Hex: digest.Hex()}}
	return manifest{d, data}, nil
}

// manifestType is what the header and the manifest agree upon. A manifest that
// can be read in two ways is refused (CVE-2021-41190).
func manifestType(header string, data []byte) (types.MediaType, error) {
	var m struct {
		SchemaVersion                       int
		MediaType                           types.MediaType
		Manifests, Layers, FSLayers, Config json.RawMessage
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return "", fmt.Errorf("parsing: %w", err)
	}
	header, _, _ = strings.Cut(header, ";")
	said := types.MediaType(strings.TrimSpace(header))
	known := func(t types.MediaType) bool { return t.IsImage() || t.IsIndex() || t.IsSchema1() }
	switch {
	case said.IsSchema1() || m.MediaType.IsSchema1() || m.SchemaVersion == 1:
		return "", errors.New("an image of Docker's schema 1, which nothing verifies: push it again with a newer tool")
	case m.Manifests != nil && (m.Layers != nil || m.Config != nil):
		return "", errors.New("an index and an image at once")
	case known(said) && known(m.MediaType) && said != m.MediaType:
		return "", fmt.Errorf("the registry says that it is %q: it says itself %q", said, m.MediaType)
	}
	kind := m.MediaType
	if !known(kind) {
		kind = said
	}
	if !known(kind) || kind.IsIndex() == (m.Manifests == nil) {
		return "", fmt.Errorf("of type %.100q: neither an image nor an index", string(cmp.Or(m.MediaType, said)))
	}
	return kind, nil
}
