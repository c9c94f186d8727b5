package nsctx

// CheckPrivilege reports whether this process may enter network namespaces at all,
// by entering its own: setns(2) wants CAP_SYS_ADMIN in the user namespace that owns
// the one to be entered, and in the process's. It is for a program's start, which
// can then say what is missing instead of failing in every namespace that comes.
// The error is an [*Error] that is fs.ErrPermission. A namespace that another user
// namespace owns may be closed all the same.
func CheckPrivilege() error {
	var err error
	startErr, _ := runLocked(func(t *Thread) { // a thread that can't go home dies
		t.Forget() // or going home would find that it is there
		err = t.Home()
	})
	if startErr != nil {
		return startErr
	}
	return err
}
