package plan

import "github.com/proa-os/proa/manifests"

// Distance is how far away a file is, and so what its bytes cost.
type Distance int

// The distances, the nearest first.
const (
	AtHand Distance = iota // in a folder of this host
	Nearby                 // with a neighbour
	Far                    // in the repository
)

// UseDelta reports whether a delta is the cheaper way to an image than its chunk
// index and frames, each at the distance where it is to be had. A repository lists a
// delta only where it is smaller than the frames that differ, which this host does not
// know before it has the index; so bytes speak against it only when they are more
// than all that the other way could take.
func UseDelta(delta manifests.FetchFile, deltaAt Distance, index, root manifests.FetchFile, rootAt Distance) bool {
	if deltaAt != rootAt {
		return deltaAt < rootAt
	}
	return delta.Size < index.Size+root.Size
}
