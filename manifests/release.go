package manifests

// Release is one version of an operating system: the content of release.json.
// Its digest, the SHA-256 of those bytes, is what a host blocks and what an
// attestation speaks about.
type Release struct {
	Schema        int        `json:"schema"` // 1
	Product       string     `json:"product"`
	Version       Version    `json:"version"`
	Arch          Arch       `json:"arch"`
	Epoch         int64      `json:"epoch"`         // the build's one timestamp, seconds since 1970
	SecurityEpoch uint64     `json:"securityEpoch"` // a host never installs a lower one
	Root          Root       `json:"root"`
	Artifacts     []Artifact `json:"artifacts"` // sorted by name
}

// Root is what dm-verity needs to open the root image: SHA-256 over blocks of
// 4096 bytes, salt before the block (hash type 1 of cryptsetup).
type Root struct {
	Hash   HexBytes `json:"hash"`   // 32 bytes: the root hash
	Salt   HexBytes `json:"salt"`   // 32 bytes
	Blocks uint64   `json:"blocks"` // data blocks of 4096 bytes; the image is exactly this long
}

// Artifact is one file of a release.
type Artifact struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	Digest Digest `json:"digest"`
}

// The names of a release's files.
const (
	ReleaseFile = "release.json"
	DiskFile    = "disk.raw"
	RootFile    = "root.erofs"
	RootMapFile = "root.map" // where files lie in RootFile: see the package filemap
	VerityFile  = "root.verity"
	UKIFile     = "uki.efi"
	LoaderFile  = "loader.efi"  // the boot loader that the release's disks have
	LayoutFile  = "layout.json" // what disks of the product look like: a Layout

	SBOMFile       = "sbom.spdx.json"  // what the root image is made of: SPDX 2.3
	ProvenanceFile = "provenance.json" // what it was made from: SLSA provenance v1 in a DSSE envelope
	StateFile      = "state.json"      // what it expects of /etc and /var: a State
	ScriptsFile    = "scripts.json"    // package scripts that did not run, and what was done in their stead
)

// Documents are the artifacts that tell of a release; no host needs them to
// run it. Not every release has each.
func Documents() []string { return []string{SBOMFile, ProvenanceFile, StateFile, ScriptsFile} }

// ForInstallers are the artifacts that, with the root image and the kernel image, a
// machine is installed from.
func ForInstallers() []string { return []string{LoaderFile, LayoutFile} }
