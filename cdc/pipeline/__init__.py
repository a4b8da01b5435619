"""PipelineService: how changes travel, for operators, and what could not travel on."""
