"""The page that shows a run; reads files, never torch."""
