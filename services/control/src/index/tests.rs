mod history;
mod lists;
mod records;
