"""Where images come from: each source delivers its files as published, one reader opens them all.

`stage_files` fills `data/download` from the source that `params.download.source` names and says in a
`Contents` what lies where; `extraction` turns any `Contents` into containers of photographs. A source is
thus a function from its params to a filled folder. What the params call `published` is fetched before, by `resolve`:
it puts paths of verified files in its place, so that nothing after it knows whether a file came over the network.
"""
