package manifests

// Transport says how the files of one release travel: the content of a
// release's transport.json, which a repository makes when it publishes. It
// adds no trust in contents, since every decoded byte is checked against the
// Release; it bounds what a host fetches.
type Transport struct {
	Schema  int       `json:"schema"`  // 1
	Release Digest    `json:"release"` // of the release.json it belongs to
	Root    RootZstd  `json:"root"`
	UKI     FetchFile `json:"uki"`
}

// FetchFile is a file in the repository's artifacts folder, named by its
// digest (see ArtifactPath) and fetched whole.
type FetchFile struct {
	Size   int64  `json:"size"` // bytes
	Digest Digest `json:"digest"`
}

// RootZstd is the root image as independent zstd frames in one file, the
// seekable format of zstd's contrib/seekable_format, whose last frame is a
// skippable table that hosts do not need.
type RootZstd struct {
	FetchFile
	ChunkSize int64   `json:"chunkSize"` // decoded bytes of every chunk but the last; a multiple of 4096
	Chunks    []Chunk `json:"chunks"`    // in order, without gaps, from offset 0
}

// Chunk is one zstd frame.
type Chunk struct {
	Size int64 `json:"size"` // encoded bytes
	// Digest is the SHA-256 of the concatenated dm-verity hashes (32 bytes each)
	// of the chunk's 4096-byte blocks under the release's salt. One pass of
	// hashing thus proves the chunk and yields the leaves of the hash tree.
	Digest Digest `json:"digest"`
}

// ArtifactPath is where a repository keeps the file with digest d, relative to
// its root: "artifacts/<first two hex digits>/<hex>".
func ArtifactPath(d Digest) string {
	return "artifacts/" + d.Hex()[:2] + "/" + d.Hex()
}
