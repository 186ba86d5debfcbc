package signing

import (
	"fmt"
	"path/filepath"

	tuf "github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/proa-os/proa/manifests"
)

// replacesField is a field of ours in the root of a repository that takes another
// one's place: the digest of what is signed in the other's last root. TUF has those
// who do not know a field keep it (specification 1.0.31, section 4.1).
const replacesField = "x-proa-replaces"

// replaced is what a root says that it replaces; zero if nothing.
func replaced(root *tuf.RootType) (manifests.Digest, error) {
	value, found := root.UnrecognizedFields[replacesField]
	if !found {
		return manifests.Digest{}, nil
	}
	text, _ := value.(string)
	digest, err := manifests.ParseDigest(text)
	if err != nil {
		return manifests.Digest{}, fmt.Errorf("%s: %w: %w", replacesField, ErrMalformed, err)
	}
	return digest, nil
}

// trustedFolder is where a client with this baked-in root keeps what it trusts. The
// roots that replace others have folders of their own: no key of the replaced
// repository could lead from its root to theirs, and the image's word is enough, for a
// host that runs an image trusts it in everything. The folder of the replaced one
// stays as it is, for the image before, to which the host may go back.
func trustedFolder(folder string, baked *tuf.RootType) (string, error) {
	former, err := replaced(baked)
	if err != nil || former.IsZero() {
		return folder, err
	}
	return filepath.Join(folder, "replaces-"+former.Hex()[:32]), nil
}
