package manifests

// Image is the identity of a release inside its own root file system, at
// ImagePath: what release.json says but for the digests, which no file can say
// of the image that holds it.
type Image struct {
	Schema        int     `json:"schema"` // 1
	Product       string  `json:"product"`
	Version       Version `json:"version"`
	Arch          Arch    `json:"arch"`
	Epoch         int64   `json:"epoch"` // seconds since 1970
	SecurityEpoch uint64  `json:"securityEpoch"`
}

// Where a root file system keeps what is proa's.
const (
	ImagePath       = "usr/lib/proa/image.json"      // an Image
	StatePath       = "usr/lib/proa/state.json"      // a State
	ExtensionsPath  = "usr/lib/proa/extensions.json" // an Extensions; not in every image
	VarFormatPath   = "var/lib/proa/format.json"     // which format /var has
	TrustRootPath   = "usr/lib/proa/root.json"       // the TUF root that hosts start to trust from
	AgentConfigPath = "usr/lib/proa/agent.yaml"      // the agent's configuration as built
	AgentPath       = "usr/bin/proa-agent"
)
