// Package manifests holds the data that proa's parts exchange: the recipe a
// builder reads, the release it makes, and the channel and transport that a
// repository adds for hosts.
//
// The package parses and checks; it never reads a file, opens a connection or
// verifies a signature. Bytes that come from a repository must have been
// verified before they are given to a parser of this package.
package manifests
