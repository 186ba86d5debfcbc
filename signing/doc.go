// Package signing holds proa's trust in a repository: ed25519 key files, the
// signed metadata of The Update Framework (TUF, specification 1.0.31) as its
// owner writes it, and the client that reads it on a host.
//
// An owner makes keys with CreateKeyFile, loads them with LoadKeys, begins
// with NewMetadata or OpenMetadata and signs changes with Metadata.Sign. Keys
// change by a RootDraft, which gathers signatures and goes to Metadata.SetRoot. A
// host opens a Client, calls Refresh, and gets targets with Fetch as Verified,
// the only form in which repository content reaches a parser.
//
// Many targets are in bins, which Metadata makes by itself and a Client fetches as it
// looks into them; see bins.go.
//
// The package never trusts bytes that have not met a threshold of signatures,
// and has no switch that turns a check off. A target counts only if the
// top-level targets role lists it, or the one bin of its name. Other delegated targets
// roles are not followed.
package signing
