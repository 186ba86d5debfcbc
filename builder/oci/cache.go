package oci

import (
	"context"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/manifests"
)

// Cache keeps blobs and unpacked layers from one build to the next; a
// *cache.Cache is one.
type Cache interface {
	Fill(ctx context.Context, want manifests.FetchFile, bring cache.Bring) (path string, err error)
	Unpacked(ctx context.Context, store *content.Store, d manifests.Digest, kind string, unpack cache.Unpack) (cache.Unpacked, error)
}

// layerKind is what a Cache calls an unpacked layer. Its number rises when the
// same layer is to become other entries.
const layerKind = "oci layer 1"
