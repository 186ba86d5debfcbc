package manifests

import (
	"fmt"
	"strings"
)

// Channel is a moving name for the newest release that hosts on it should run:
// the content of one channel target. There is one for each product,
// architecture and channel.
type Channel struct {
	Schema  int     `json:"schema"` // 1
	Product string  `json:"product"`
	Arch    Arch    `json:"arch"`
	Name    string  `json:"name"` // stable, beta, …
	Version Version `json:"version"`
	Release Digest  `json:"release"` // of the release.json
}

// The names of TUF targets.

// ChannelTarget is the target that holds a channel:
// "channels/<product>/<arch>/<channel>.json".
func ChannelTarget(product string, arch Arch, channel string) string {
	return fmt.Sprintf("channels/%s/%s/%s.json", product, arch, channel)
}

// IsChannelTarget reports whether a target has the name of a ChannelTarget.
func IsChannelTarget(target string) bool { return strings.HasPrefix(target, "channels/") }

// ReleaseTarget is the target that holds a release.json:
// "releases/<product>/<arch>/<version>/release.json".
func ReleaseTarget(product string, arch Arch, v Version) string {
	return fmt.Sprintf("releases/%s/%s/%s/%s", product, arch, v, ReleaseFile)
}

// ReleaseTargetVersion is the version in the name of a target that is the
// ReleaseTarget of a release of the product for arch; false when it is none.
func ReleaseTargetVersion(product string, arch Arch, target string) (Version, bool) {
	v, ok := strings.CutPrefix(target, fmt.Sprintf("releases/%s/%s/", product, arch))
	if !ok {
		return "", false
	}
	v, ok = strings.CutSuffix(v, "/"+ReleaseFile)
	if !ok {
		return "", false
	}
	version, err := ParseVersion(v)
	return version, err == nil
}

// TransportTarget is the target that holds a release's transport.json, beside
// its release.json.
func TransportTarget(product string, arch Arch, v Version) string {
	return fmt.Sprintf("releases/%s/%s/%s/transport.json", product, arch, v)
}
