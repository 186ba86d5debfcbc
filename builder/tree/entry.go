package tree

// Entry is one entry of an archive: a node, or a hard link to a name that the
// archive or what it is put upon has.
type Entry struct {
	Path string // as the archive has it, but without slashes at its end
	Node *Node  // nil for a hard link
	Link string // the target's path of a hard link
}

// Apply puts an entry into t, as Put or Link do.
func (t *Tree) Apply(e Entry) error {
	if e.Node == nil {
		return t.Link(e.Path, e.Link)
	}
	return t.Put(e.Path, e.Node)
}
